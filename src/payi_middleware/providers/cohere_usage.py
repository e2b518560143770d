"""Cohere's usage objects: `usage` of version 2, `meta` of version 1, embed and rerank.

Types: https://docs.cohere.com/v2/reference/chat#response.body.usage

A chat is told in two ways: the `tokens` that the model has seen and written, and the `billed_units`, which leave out
what Cohere itself adds to a prompt and the special tokens of an answer
(https://docs.cohere.com/docs/how-does-cohere-pricing-work): often a tenth. What is billed is the usage, as it is what a
call costs; what the model saw is noted beside it where it differs.
"""

from __future__ import annotations

from typing import Any

from .usage import Usage
from .values import count, mapping

__all__ = ["tokens_note", "usage_from"]

TOKENS = "system.usage.tokens"
_COUNTED = (("images", "image", "input"), ("search_units", "search_unit", "output"))


def usage_from(told: dict[str, Any]) -> Usage | None:
    """Return the usage; None where nothing is counted.

    The model's tokens stand in for what is billed where that is not told. Cached tokens are of the model's, and mostly
    of those that are not billed: they count where the two do not differ. Reasoning is output as any other.
    """
    tokens, billed = mapping(told.get("tokens")), mapping(told.get("billed_units"))
    seen = count(tokens.get("input_tokens"))
    asked = count(billed.get("input_tokens"), seen)
    answered = count(billed.get("output_tokens"), tokens.get("output_tokens"))
    counts = {unit: {side: n} for name, unit, side in _COUNTED if (n := count(billed.get(name)))}
    if images := _beside(tokens, billed, asked):
        counts["vision"] = {"input": images}
    if asked is None and answered is None and not counts:
        return None
    return Usage(
        input_tokens=asked,
        output_tokens=answered,
        cache_read=_cached(told, tokens) if asked == seen else None,
        counts=counts,
    )


def _cached(told: dict[str, Any], tokens: dict[str, Any]) -> int | None:
    return count(told.get("cached_tokens"), tokens.get("cached_tokens"))


def _beside(tokens: dict[str, Any], billed: dict[str, Any], asked: int | None) -> int | None:
    """Return the image tokens that are not among the input: embed bills them at a price of their own.

    A chat's are billed as any other input. Where only its tokens are told, some of its models count them beside the
    input, which shows where they are more.
    """
    told = count(billed.get("image_tokens"))
    if told is not None or billed.get("input_tokens") is not None:
        return told
    seen = count(tokens.get("image_tokens"))
    return seen if seen is not None and seen > (asked or 0) else None


def tokens_note(told: dict[str, Any]) -> dict[str, str]:
    """Return the tokens that the model saw and wrote, where Cohere bills others."""
    tokens, billed = mapping(told.get("tokens")), mapping(told.get("billed_units"))
    names = [name for name in ("input_tokens", "output_tokens") if count(tokens.get(name)) is not None]
    if not any(count(billed.get(name)) not in (None, tokens[name]) for name in names):
        return {}
    seen = {name: count(tokens[name]) for name in names} | {"cached_tokens": _cached(told, tokens)}
    return {TOKENS: ",".join(f"{name}={value}" for name, value in seen.items() if value is not None)}
