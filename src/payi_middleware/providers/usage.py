"""The canonical usage of one inference, and the Pay-i units that follow from it.

`Usage` is inclusive: totals contain cached, written, audio, image and reasoning tokens. Pay-i's units are exclusive:
every token is in exactly one of them. The subtraction between the two happens here and nowhere else.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from typing import Any

__all__ = ["Usage", "added", "units"]

CLAMPED = "system.usage.clamped"


@dataclass(slots=True)
class Usage:
    """Hold what one provider answer says it consumed, mostly tokens; None where the provider does not tell.

    Nobody changes it; it is not frozen, as each field of what is frozen takes several times as long to be set.

    `cache_write` is the write of five minutes or of an unknown lifetime, `cache_write_1h` the one of an hour, and both
    are part of `input_tokens`, as are `cache_read`, `audio_input`, `image_input` and `video_input`. The `*_cache_read`
    of a modality is part of both that modality's input and of `cache_read`. `reasoning`, `audio_output`, `image_output`
    and `video_output` are part of `output_tokens`. `counts` is what is counted besides tokens, by Pay-i unit and side,
    such as `{"audio_seconds": {"input": 15}}`. `reasoning_as_text` says that the provider prices reasoning as any other
    output, so that Pay-i has no unit of its own for it (Anthropic). `scope` is Pay-i's resource scope, such as
    "datazone.us".
    """

    input_tokens: int | None = None
    output_tokens: int | None = None
    cache_read: int | None = None
    cache_write: int | None = None
    cache_write_1h: int | None = None
    reasoning: int | None = None
    audio_input: int | None = None
    audio_output: int | None = None
    audio_cache_read: int | None = None
    image_input: int | None = None
    image_output: int | None = None
    image_cache_read: int | None = None
    video_input: int | None = None
    video_output: int | None = None
    video_cache_read: int | None = None
    web_search_requests: int | None = None
    reasoning_as_text: bool = False
    large_context: bool = False
    scope: str | None = None
    counts: Mapping[str, Mapping[str, int]] = field(default_factory=dict)


_TOKENS = tuple(spec.name for spec in fields(Usage) if spec.type == "int | None")


def added(one: Usage, other: Usage) -> Usage:
    """Return what two answers consumed together; the first one's kind of context, scope and reasoning hold for both."""
    tokens: dict[str, Any] = {}
    for name in _TOKENS:
        told = [value for usage in (one, other) if (value := getattr(usage, name)) is not None]
        tokens[name] = sum(told) if told else None
    counts = {unit: dict(sides) for unit, sides in one.counts.items()}
    for unit, sides in other.counts.items():
        sums = counts.setdefault(unit, {})
        for side, value in sides.items():
            sums[side] = sums.get(side, 0) + value
    return replace(one, **tokens, counts=counts)


class _Share:
    """Deal out one total to the parts that claim to lie inside it, never more than there is."""

    __slots__ = ("clamped", "left")

    def __init__(self, total: int | None, clamped: list[str]) -> None:
        self.left = None if total is None else max(0, total)
        self.clamped = clamped

    def take(self, name: str, claimed: int | None) -> int:
        """Return how many tokens `name` really gets, and note it where that is less than it claims."""
        if not claimed or claimed < 0:  # as nearly all of them
            return 0
        if self.left is None:
            return claimed
        granted = min(claimed, self.left)
        self.left -= granted
        if granted < claimed:
            self.clamped.append(name)
        return granted


def units(usage: Usage) -> tuple[dict[str, dict[str, int]], dict[str, str]]:
    """Return Pay-i's exclusive units of an inclusive usage, and properties that tell which impossible numbers were cut.

    A part larger than its whole (cached tokens above the prompt's, reasoning above the completion's) is cut down to it,
    so that no unit is ever negative and the sum of the units is the total. Parts of zero tokens are left out, as
    Pay-i's own SDK does.

    >>> units(Usage(input_tokens=10, output_tokens=8, cache_read=4, reasoning=5))[0]
    {'text': {'input': 6, 'output': 3}, 'text_cache_read': {'input': 4}, 'reasoning': {'output': 5}}
    """
    clamped: list[str] = []
    found: dict[str, dict[str, int]] = {}
    inputs = _inputs(usage, clamped)
    outputs = _outputs(usage, clamped)
    suffix = "_large_context" if usage.large_context else ""
    for side, counts in (("input", inputs), ("output", outputs)):
        for unit, tokens in counts.items():
            found.setdefault(unit + suffix, {})[side] = tokens
    if usage.web_search_requests:
        found["web_search_request"] = {"output": usage.web_search_requests}
    for unit, sides in usage.counts.items():
        found[unit] = {**found.get(unit, {}), **sides}
    return found, ({CLAMPED: ",".join(clamped)} if clamped else {})


_INPUT_PARTS = (
    *("cache_read", "cache_write", "cache_write_1h", "audio_input", "image_input", "video_input"),
    *("audio_cache_read", "image_cache_read", "video_cache_read"),
)


def _plain(total: int | None) -> dict[str, int]:
    """Return the units of tokens of which no part is anything but text."""
    return {} if total is None else {"text": max(0, total)}


def _inputs(usage: Usage, clamped: list[str]) -> dict[str, int]:
    if not any(map(usage.__getattribute__, _INPUT_PARTS)):
        return _plain(usage.input_tokens)
    share = _Share(usage.input_tokens, clamped)
    cached = share.take("cache_read", usage.cache_read)
    written = share.take("cache_write", usage.cache_write)
    written_1h = share.take("cache_write_1h", usage.cache_write_1h)
    modal_cache = _Share(cached, clamped)
    audio_cached = modal_cache.take("audio_cache_read", usage.audio_cache_read)
    image_cached = modal_cache.take("image_cache_read", usage.image_cache_read)
    video_cached = modal_cache.take("video_cache_read", usage.video_cache_read)
    # A cached modality is inside both its own count and the cache's: the cache has taken its tokens already.
    audio = share.take("audio_input", _minus(usage.audio_input, audio_cached))
    image = share.take("image_input", _minus(usage.image_input, image_cached))
    video = share.take("video_input", _minus(usage.video_input, video_cached))
    parts = {
        "text_cache_read": modal_cache.left,
        "text_cache_write": written,
        "text_cache_write_1h": written_1h,
        "audio": audio,
        "audio_cache_read": audio_cached,
        "vision": image,
        "vision_cache_read": image_cached,
        "video": video,
        "video_cache_read": video_cached,
    }
    return _told("text", share.left, parts)


def _outputs(usage: Usage, clamped: list[str]) -> dict[str, int]:
    if not (usage.reasoning or usage.audio_output or usage.image_output or usage.video_output):
        return _plain(usage.output_tokens)
    share = _Share(usage.output_tokens, clamped)
    parts = {
        "reasoning": share.take("reasoning", None if usage.reasoning_as_text else usage.reasoning),
        "audio": share.take("audio_output", usage.audio_output),
        "image": share.take("image_output", usage.image_output),
        "video": share.take("video_output", usage.video_output),
    }
    return _told("text", share.left, parts)


def _told(rest: str, left: int | None, parts: dict[str, int | None] | dict[str, int]) -> dict[str, int]:
    told = {} if left is None else {rest: left}
    return told | {unit: tokens for unit, tokens in parts.items() if tokens}


def _minus(total: int | None, part: int) -> int:
    return max(0, (total or 0) - part)
