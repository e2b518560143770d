"""Which requests speak Ollama's own wire formats: chat, generate and embed.

Paths: https://docs.ollama.com/api/introduction
"""

from __future__ import annotations

from .first_use import AtFirstUse, Making
from .wiring import Format, Found, Target, Wire

__all__ = ["WIRE"]

_PORT = 11434


@AtFirstUse
def _ollama() -> Making:
    from .ollama import Ollama

    return Ollama


def _recognise(target: Target) -> Found | None:
    """Return the api of `/api/chat` and its like; the path alone is any app's, so that more must speak for Ollama."""
    known = target.at("ollama") or target.port == _PORT or target.headers.get("user-agent", "").startswith("ollama-")
    return Found(f"ollama.{target.word}") if known and target.before == "api" else None


WIRE = Wire(
    name="ollama",
    category="ollama",
    words=frozenset({"chat", "generate", "embed", "embeddings"}),
    recognise=_recognise,
    formats={
        f"ollama.{api}": Format(_ollama, framing="objects") for api in ("chat", "generate", "embed", "embeddings")
    },
)
