"""Which requests speak Anthropic's wire formats.

Paths: https://docs.anthropic.com/en/api
"""

from __future__ import annotations

from .first_use import AtFirstUse, Making
from .wiring import Format, Found, Target, Wire

__all__ = ["WIRE"]


_APIS = {"messages": "anthropic.messages", "complete": "anthropic.complete"}


def _recognise(target: Target) -> Found | None:
    api = _APIS.get(target.word)
    if api is None:
        return None
    told = "anthropic-version" in target.headers or "anthropic" in target.segments or target.row is not None
    return Found(api) if target.custom or (told and target.before == "v1") else None


def _fetched(target: Target) -> Found | None:
    """Return the results of a batch: `messages/batches/x/results`."""
    return Found("anthropic.batch_results") if target.segments[-4:-2] == ["messages", "batches"] else None


@AtFirstUse
def _messages() -> Making:
    from .anthropic import Anthropic

    return Anthropic


@AtFirstUse
def _complete() -> Making:
    from .anthropic_complete import AnthropicComplete

    return AnthropicComplete


@AtFirstUse
def _results() -> Making:
    from .batch_results import anthropic_results

    return anthropic_results


WIRE = Wire(
    name="anthropic",
    category="system.anthropic",
    words=frozenset({"messages", "complete", "results"}),
    recognise=_recognise,
    formats={
        "anthropic.messages": Format(_messages),
        "anthropic.complete": Format(_complete),
        "anthropic.batch_results": Format(_results, framing="lines", fetched=True),
    },
    fetched=_fetched,
)
