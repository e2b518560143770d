"""Which requests speak Cohere's wire formats: chat of both versions, generate, embed and rerank.

Paths: https://docs.cohere.com/reference/chat
"""

from __future__ import annotations

from .first_use import AtFirstUse, Making
from .wiring import Format, Found, Target, Wire

__all__ = ["WIRE"]

_APIS = frozenset({"chat", "generate", "embed", "rerank"})
_REPEATING = frozenset({("v1", "chat"), ("v1", "generate"), ("v2", "generate"), ("v1", "rerank"), ("v2", "rerank")})
"""With the prompt, the history or the documents in the answer; embeddings have the texts, and are too long to be read
before the app has them."""


@AtFirstUse
def _cohere() -> Making:
    from .cohere import Cohere

    return Cohere


def _recognise(target: Target) -> Found | None:
    # Gateways have the vendor in their paths: https://developers.cloudflare.com/ai-gateway/usage/providers/cohere/
    named = "cohere" in target.segments[:-2] or target.headers.get("x-fern-sdk-name") == "cohere"
    version, own = target.before, target.at("cohere") or named
    if not own or version not in ("v1", "v2") or target.word not in _APIS:
        return None
    return Found(f"cohere.{version}.{target.word}")


WIRE = Wire(
    name="cohere",
    category="cohere",
    words=_APIS,
    recognise=_recognise,
    formats={
        f"cohere.{version}.{api}": Format(_cohere, framing="objects", repeats=(version, api) in _REPEATING)
        for version in ("v1", "v2")
        for api in sorted(_APIS)
    },
)
