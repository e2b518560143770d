"""Which requests speak Anthropic's wire formats.

Paths: https://docs.anthropic.com/en/api
"""

from __future__ import annotations

from .anthropic import Anthropic
from .batch_results import anthropic_results
from .wiring import Format, Found, Target, Wire

__all__ = ["WIRE"]


def _recognise(target: Target) -> Found | None:
    if target.word != "messages":
        return None
    told = "anthropic-version" in target.headers or "anthropic" in target.segments or target.at("anthropic")
    return Found("anthropic.messages") if target.custom or (told and target.before == "v1") else None


def _fetched(target: Target) -> Found | None:
    """Return the results of a batch: `messages/batches/x/results`."""
    return Found("anthropic.batch_results") if target.segments[-4:-2] == ["messages", "batches"] else None


WIRE = Wire(
    name="anthropic",
    category="system.anthropic",
    words=frozenset({"messages", "results"}),
    recognise=_recognise,
    formats={
        "anthropic.messages": Format(Anthropic),
        "anthropic.batch_results": Format(anthropic_results, framing="lines", fetched=True),
    },
    fetched=_fetched,
)
