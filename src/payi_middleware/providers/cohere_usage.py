"""Cohere's usage objects: `usage` of version 2, `meta` of version 1, embed and rerank.

Types: https://docs.cohere.com/v2/reference/chat#response.body.usage
"""

from __future__ import annotations

from typing import Any

from .usage import Usage
from .values import count, mapping

__all__ = ["billed_note", "usage_from"]

BILLED = "system.usage.billed"
_COUNTED = (("images", "image", "input"), ("search_units", "search_unit", "output"))


def usage_from(told: dict[str, Any]) -> Usage | None:
    """Return the usage; None where nothing is counted.

    Tokens are those that the model has seen and written. What Cohere bills, which leaves out the tokens of its own
    prompt template, stands in where that is all it tells (embed, generate). Reasoning is output as any other.
    """
    tokens, billed = mapping(told.get("tokens")), mapping(told.get("billed_units"))
    asked = count(tokens.get("input_tokens"), billed.get("input_tokens"))
    answered = count(tokens.get("output_tokens"), billed.get("output_tokens"))
    counts = {unit: {side: n} for name, unit, side in _COUNTED if (n := count(billed.get(name)))}
    if images := _beside(tokens, billed, asked):
        counts["vision"] = {"input": images}
    if asked is None and answered is None and not counts:
        return None
    return Usage(
        input_tokens=asked,
        output_tokens=answered,
        cache_read=count(told.get("cached_tokens"), tokens.get("cached_tokens")),
        counts=counts,
    )


def _beside(tokens: dict[str, Any], billed: dict[str, Any], asked: int | None) -> int | None:
    """Return the image tokens that are not among the input: embed bills them at a price of their own.

    A chat's are billed as any other input. Some of its models count them beside the input, which only shows where they
    are more.
    """
    seen = count(tokens.get("image_tokens"))
    if seen is None:
        return count(billed.get("image_tokens"))
    return seen if seen > (asked or 0) else None


def billed_note(told: dict[str, Any]) -> dict[str, str]:
    """Return what Cohere bills, where it differs from the tokens that it counts."""
    tokens, billed = mapping(told.get("tokens")), mapping(told.get("billed_units"))
    names = [name for name in ("input_tokens", "output_tokens") if count(billed.get(name)) is not None]
    if not tokens or all(billed.get(name) == tokens.get(name) for name in names):
        return {}
    return {BILLED: ",".join(f"{name}={count(billed.get(name))}" for name in names)}
