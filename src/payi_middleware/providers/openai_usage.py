"""Usage objects of the OpenAI shape, with what compatible providers made of it.

Types: https://platform.openai.com/docs/api-reference/chat/object and
https://platform.openai.com/docs/api-reference/responses/object
"""

from __future__ import annotations

from typing import Any

from .usage import Usage
from .values import count, mapping

__all__ = ["usage_from"]


_USUAL = frozenset(
    {"prompt_tokens", "completion_tokens", "total_tokens", "prompt_tokens_details", "completion_tokens_details"}
)
_USUALLY_ASKED = frozenset({"cached_tokens", "audio_tokens"})
_USUALLY_ANSWERED = frozenset(
    {"reasoning_tokens", "audio_tokens", "accepted_prediction_tokens", "rejected_prediction_tokens"}
)


def usage_from(raw: object, provider: str = "") -> Usage | None:
    """Return the inclusive usage in a `usage` object of the OpenAI shape; None where it counts nothing."""
    told = mapping(raw)
    # A transcription's usage has its own spelling of the last: `input_token_details`.
    asked = mapping(
        told.get("prompt_tokens_details") or told.get("input_tokens_details") or told.get("input_token_details")
    )
    answered = mapping(told.get("completion_tokens_details") or told.get("output_tokens_details"))
    prompt = count(told.get("prompt_tokens"), told.get("input_tokens"))
    completion = count(told.get("completion_tokens"), told.get("output_tokens"))
    total = count(told.get("total_tokens"))
    images = count(asked.get("image_tokens"))
    if prompt is None and completion is None:
        if total is None:
            return None
        prompt = total  # Voyage counts an embedding's input as its total only, and its texts in it
        images = None if (texts := count(told.get("text_tokens"))) is None else max(0, total - texts)
    reasoning = count(answered.get("reasoning_tokens"), told.get("reasoning_tokens"))
    audio = count(asked.get("audio_tokens"))
    prompt, completion = _complete(prompt, completion, total, reasoning, audio, provider)
    if told.keys() <= _USUAL and asked.keys() <= _USUALLY_ASKED and answered.keys() <= _USUALLY_ANSWERED:
        return Usage(  # most say no more than OpenAI's own chats: what follows looks for what is not there
            input_tokens=prompt,
            output_tokens=completion,
            cache_read=count(asked.get("cached_tokens")),
            reasoning=reasoning,
            audio_input=audio,
            audio_output=count(answered.get("audio_tokens")),
        )
    write, write_1h = _writes(told, asked)
    cached = mapping(asked.get("cached_tokens_details"))
    return Usage(
        input_tokens=prompt,
        output_tokens=completion,
        cache_read=_cache_read(told, asked),
        cache_write=write,
        cache_write_1h=write_1h,
        reasoning=reasoning,
        audio_input=audio,
        audio_output=count(answered.get("audio_tokens")),
        audio_cache_read=count(cached.get("audio_tokens")),
        image_input=images,
        image_output=count(answered.get("image_tokens")),
        image_cache_read=count(cached.get("image_tokens")),
        video_input=count(asked.get("video_tokens")),
        web_search_requests=_web_searches(told),
    )


def _complete(
    prompt: int | None,
    completion: int | None,
    total: int | None,
    reasoning: int | None,
    audio: int | None,
    provider: str,
) -> tuple[int | None, int | None]:
    """Add to the counts what the total proves to lie outside them.

    xAI counts reasoning beside the completion (https://docs.x.ai/docs/guides/reasoning), Mistral counts audio beside
    the prompt, and Gemini's OpenAI-compatible endpoint shows its thinking in the total only.
    """
    if total is None or prompt is None or completion is None or total <= prompt + completion:
        return prompt, completion
    excess, reasoned, heard = total - prompt - completion, reasoning or 0, audio or 0
    if excess == reasoned:
        return prompt, completion + reasoned
    if excess == heard:
        return prompt + heard, completion
    if excess == reasoned + heard:
        return prompt + heard, completion + reasoned
    return prompt, completion + (excess if provider == "google" else 0)


def _cache_read(told: dict[str, Any], asked: dict[str, Any]) -> int | None:
    # In the order of the table: OpenAI and most others; Moonshot and Together; DeepSeek; Databricks; Mistral.
    return count(
        asked.get("cached_tokens"),
        told.get("cached_tokens"),
        told.get("prompt_cache_hit_tokens"),
        told.get("cache_read_input_tokens"),
        told.get("num_cached_tokens"),
    )


def _writes(told: dict[str, Any], asked: dict[str, Any]) -> tuple[int | None, int | None]:
    """Return (five minutes or unknown, one hour); the hour's part is inside what providers call the creation."""
    lifetimes = mapping(told.get("cache_creation") or asked.get("cache_creation"))
    hour = count(lifetimes.get("ephemeral_1h_input_tokens"))
    # OpenRouter, OpenAI and Bedrock tell it in the details, Databricks beside them, Alibaba by both.
    both = count(
        asked.get("cache_write_tokens"),
        told.get("cache_creation_input_tokens"),
        asked.get("cache_creation_input_tokens"),
    )
    return (both if both is None else max(0, both - (hour or 0))), hour


def _web_searches(told: dict[str, Any]) -> int | None:
    """Return how many searches were billed by the search: Perplexity's and xAI's counters.

    OpenRouter's is left alone, as it bills the results of a search: https://openrouter.ai/docs/features/web-search
    """
    return count(
        told.get("num_search_queries"),
        mapping(told.get("server_side_tool_usage_details")).get("web_search_calls"),
    )
