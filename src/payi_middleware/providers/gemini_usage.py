"""Usage objects of Gemini: `usageMetadata` of its generations and `usage` of its interactions.

Types: https://ai.google.dev/api/generate-content#UsageMetadata and
https://cloud.google.com/vertex-ai/generative-ai/docs/reference/rest/v1/GenerateContentResponse#UsageMetadata
"""

from __future__ import annotations

from typing import Any

from .usage import Usage
from .values import count, mapping, rows, text

__all__ = ["interaction_usage", "joined", "service_tier", "usage_from"]

# PDF pages are billed as images, and newer models count them as such:
# https://ai.google.dev/gemini-api/docs/document-processing
_MODALITIES = {"image": "image", "document": "image", "video": "video", "audio": "audio"}
# Google's gateways write enums as numbers where they are asked to (`$alt=json;enum-encoding=int`).
_NUMBERED = {2: "image", 3: "video", 4: "audio", 5: "image"}
_TRAFFIC = {1: "on_demand", 2: "provisioned_throughput"}
_PARTS = ("promptTokenCount", "candidatesTokenCount", "thoughtsTokenCount", "toolUsePromptTokenCount")
_DETAILS = {
    "promptTokenCount": "promptTokensDetails",
    "candidatesTokenCount": "candidatesTokensDetails",
    "toolUsePromptTokenCount": "toolUsePromptTokensDetails",
    "cachedContentTokenCount": "cacheTokensDetails",
}
# Prompts above these have prices of their own: https://ai.google.dev/gemini-api/docs/pricing
_LARGE_CONTEXT = {"gemini-2.5-pro": 200_000, "gemini-1.": 128_000}


def usage_from(raw: object, model: str | None = None) -> Usage | None:
    """Return the inclusive usage in a `usageMetadata` object; None where it counts nothing.

    What tools brought into the prompt is beside `promptTokenCount`, thinking beside `candidatesTokenCount`, and both
    are added; cached content is inside the prompt. `model` decides from which prompt on the context is large.
    """
    told = mapping(raw)
    prompt = count(told.get("promptTokenCount"))
    return _usage(
        prompt=_sum(prompt, told.get("toolUsePromptTokenCount")),
        output=_sum(told.get("candidatesTokenCount"), told.get("thoughtsTokenCount")),
        cached=count(told.get("cachedContentTokenCount")),
        thoughts=count(told.get("thoughtsTokenCount")),
        asked=_modal(told.get("promptTokensDetails"), told.get("toolUsePromptTokensDetails")),
        reused=_modal(told.get("cacheTokensDetails")),
        answered=_modal(told.get("candidatesTokensDetails")),
        large=_is_large(prompt, model),
    )


def interaction_usage(raw: object, model: str | None = None) -> Usage | None:
    """Return the inclusive usage in an interaction's `usage` object: https://ai.google.dev/api/interactions-api"""
    told = mapping(raw)
    prompt = count(told.get("total_input_tokens"))
    return _usage(
        prompt=_sum(prompt, told.get("total_tool_use_tokens")),
        output=_sum(told.get("total_output_tokens"), told.get("total_thought_tokens")),
        cached=count(told.get("total_cached_tokens")),
        thoughts=count(told.get("total_thought_tokens")),
        asked=_modal(told.get("input_tokens_by_modality"), told.get("tool_use_tokens_by_modality")),
        reused=_modal(told.get("cached_tokens_by_modality")),
        answered=_modal(told.get("output_tokens_by_modality")),
        large=_is_large(prompt, model),
    )


def _usage(
    *,
    prompt: int | None,
    output: int | None,
    cached: int | None,
    thoughts: int | None,
    asked: dict[str, int],
    reused: dict[str, int],
    answered: dict[str, int],
    large: bool,
) -> Usage | None:
    if prompt is None and output is None:
        return None
    return Usage(
        input_tokens=prompt,
        output_tokens=output,
        cache_read=cached,
        reasoning=thoughts,
        audio_input=asked.get("audio"),
        audio_output=answered.get("audio"),
        audio_cache_read=reused.get("audio"),
        image_input=asked.get("image"),
        image_output=answered.get("image"),
        image_cache_read=reused.get("image"),
        video_input=asked.get("video"),
        video_output=answered.get("video"),
        video_cache_read=reused.get("video"),
        large_context=large,
    )


def _sum(*values: object) -> int | None:
    known = [tokens for value in values if (tokens := count(value)) is not None]
    return sum(known) if known else None


def _modal(*details: object) -> dict[str, int]:
    """Return the tokens of each modality but text, which is what remains of the total."""
    found: dict[str, int] = {}
    for row in [row for detail in details for row in rows(detail)]:
        told = row.get("modality")
        name = _NUMBERED.get(told) if isinstance(told, int) else _MODALITIES.get(str(told).lower())
        if name:
            found[name] = found.get(name, 0) + (count(row.get("tokenCount"), row.get("tokens")) or 0)
    return found


def _is_large(prompt: int | None, model: str | None) -> bool:
    return any((model or "").startswith(name) and (prompt or 0) > most for name, most in _LARGE_CONTEXT.items())


def service_tier(told: dict[str, Any]) -> str | None:
    """Return the tier that a `usageMetadata` names: AI Studio's `serviceTier`, or Vertex AI's `trafficType`."""
    traffic = told.get("trafficType")
    named = _TRAFFIC.get(traffic) if isinstance(traffic, int) else text(traffic, 64)
    named = (named or "").lower()
    return text(told.get("serviceTier"), 64) or (named if named not in ("", "on_demand") else None)


def joined(last: dict[str, Any], earlier: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """Return the last `usageMetadata` of a stream, with counters that it dropped taken from where they were last told.

    Counts are cumulative, so that the last one holds; and a last one whose own total is the sum of its counters dropped
    nothing, however much an earlier one told. `earlier` maps a counter's name to the last object that has it.
    """
    found = dict(last)
    total = count(last.get("totalTokenCount"))
    known = sum(count(last.get(name)) or 0 for name in _PARTS)
    for name in (*_PARTS, "cachedContentTokenCount"):
        before = earlier.get(name, {})
        tokens = count(before.get(name)) or 0
        if name in last or not tokens:
            continue
        if name in _PARTS:
            if total is not None and known + tokens > total:
                continue
            known += tokens
        found[name] = tokens
        if details := before.get(_DETAILS.get(name, "")):
            found[_DETAILS[name]] = details
    return found
