"""Anthropic messages.

Streams: https://docs.anthropic.com/en/docs/build-with-claude/streaming
Usage: https://docs.anthropic.com/en/api/messages#response-usage
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Mapping
from typing import Any

from .answer import PARTIAL, Answer
from .family import Kept, calls, without_usage
from .match import Match
from .usage import Usage
from .values import carve, count, error_of, loads, mapping, rows, text
from .wire import each_event, shorten

__all__ = ["Anthropic", "usage_from"]

LARGE_CONTEXT = 200_000
_EVENT_LIMIT = 16_384
_KIND = re.compile(
    rb'"type"\s*:\s*"(message_start|message_delta|message_stop|content_block_start|content_block_delta|error)"'
)
_CLIENT_TOOL = re.compile(rb'"type"\s*:\s*"tool_use"')
_INPUTS = ("input_tokens", "cache_read_input_tokens", "cache_creation_input_tokens")
_NO_SCOPE = frozenset({"global", "not_available"})


class Anthropic:
    """Read messages; a stream's usage is at its start and, cumulative, in the deltas near its end."""

    def __init__(self, match: Match, headers: Mapping[str, str]) -> None:
        self.first_token = False
        self.first_completion = False
        self._provider = match.provider
        self._start: bytes | None = None
        self._deltas: deque[bytes] = deque(maxlen=3)
        self._tools = Kept(49_152)
        self._arguments = Kept(49_152)
        self._error: bytes | None = None
        self._stopped = False

    def see(self, block: bytes) -> bool:
        """Keep what matters of the events in `block`; True at `message_stop` or an error event."""
        if not self.first_completion:
            self._time(block)
        if (
            block.rfind(b'"message_') < 0  # `rfind` takes half the time that `in` does with bytes
            and block.rfind(b'"tool_use"') < 0
            and block.rfind(b'"input_json_delta"') < 0
            and block.rfind(b'"error"') < 0
        ):
            return False
        ended = False
        for event in each_event(block):
            ended |= self._keep(event)
        return ended

    def _time(self, block: bytes) -> None:
        if b'"text_delta"' in block or b'"tool_use"' in block:
            self.first_completion = self.first_token = True
        elif not self.first_token and (b'"thinking_delta"' in block or b'"redacted_thinking"' in block):
            self.first_token = True

    def _keep(self, event: bytes) -> bool:
        match = _KIND.search(event)
        kind = match[1] if match else b""
        if kind == b"message_start":
            self._start = self._start or shorten(event, _EVENT_LIMIT)
        elif kind == b"message_delta":
            self._deltas.append(shorten(event, _EVENT_LIMIT))
        elif kind == b"content_block_start":
            if _CLIENT_TOOL.search(event):
                self._tools.add(shorten(event, _EVENT_LIMIT))
        elif kind == b"content_block_delta":
            if b'"input_json_delta"' in event:
                self._arguments.add(shorten(event, _EVENT_LIMIT))
        elif kind == b"error" or (not kind and (loads(event) or {}).get("error")):
            self._error = shorten(event, _EVENT_LIMIT)
            return True
        elif kind == b"message_stop":
            self._stopped = True
            return True
        return False

    def streamed(self) -> Answer:
        """Return the facts of the events kept; a counter in a delta replaces the one at the start."""
        start = _event(self._start)
        message = dict(mapping(start.get("message")) or start)
        told = dict(mapping(message.get("usage")))
        for raw in self._deltas:
            delta = _event(raw)
            message.update((k, v) for k, v in mapping(delta.get("delta")).items() if v is not None)
            told.update(_news(mapping(delta.get("usage"))))
        message["usage"] = told
        error = _event(self._error)
        return self._answer(message, self._calls(), error, self._notes(told))

    def _notes(self, told: dict[str, Any]) -> dict[str, str]:
        ended = self._stopped or bool(self._deltas)
        if told:
            return {} if ended else {PARTIAL: "stream ended before its end"}
        if self._error is not None:
            return without_usage("error inside the stream")
        return without_usage("provider sent no usage" if ended else "stream ended before usage")

    def _calls(self) -> list[tuple[str, object]]:
        parts: dict[int, list[str]] = {}
        for raw in self._arguments.events:
            event = _event(raw)
            fragment = text(mapping(event.get("delta")).get("partial_json"), _EVENT_LIMIT)
            parts.setdefault(count(event.get("index")) or 0, []).append(fragment or "")
        found: list[tuple[str, object]] = []
        for raw in self._tools.events:
            event = _event(raw)
            block = mapping(event.get("content_block"))
            arguments = "".join(parts.get(count(event.get("index")) or 0, ())) or block.get("input")
            if name := text(block.get("name")):
                found.append((name, None if self._arguments.lost else arguments))
        return found

    def whole(self, body: dict[str, Any]) -> Answer:
        """Return the facts of a message object."""
        blocks = [block for block in rows(body.get("content")) if block.get("type") == "tool_use"]
        called: list[tuple[str, object]] = [
            (n, block.get("input")) for block in blocks if (n := text(block.get("name")))
        ]
        error = body if body.get("error") else {}
        return self._answer(body, called, error, {} if body.get("usage") else without_usage("provider sent no usage"))

    def _answer(
        self, message: dict[str, Any], called: list[tuple[str, object]], error: dict[str, Any], notes: dict[str, str]
    ) -> Answer:
        told = mapping(message.get("usage"))
        code, reason = error_of(error) if error else (None, None)
        turns = len(rows(told.get("iterations")))
        return Answer(
            usage=usage_from(told, self._provider),
            response_id=text(message.get("id")),
            model=text(message.get("model")),
            finish_reason=text(message.get("stop_reason")),
            function_calls=calls(called),
            error_code=code,
            error_message=reason,
            service_tier=_tier(told),
            notes=notes | ({"system.usage.iterations": str(turns)} if turns > 1 else {}),
        )


def _news(usage: dict[str, Any]) -> dict[str, Any]:
    """Return the counters that a delta replaces: no input at all is none, as some gateways fill in zeros."""
    told = {name: value for name, value in usage.items() if value is not None}
    return (
        told if any(count(told.get(name)) for name in _INPUTS) else {k: v for k, v in told.items() if k not in _INPUTS}
    )


def _event(event: bytes | None) -> dict[str, Any]:
    if event is None:
        return {}
    return loads(event) or carve(event)


def usage_from(raw: object, provider: str = "anthropic") -> Usage | None:
    """Return the inclusive usage in an Anthropic `usage` object; None where it counts nothing.

    Cached and written tokens are beside `input_tokens` there and are added. A write without a lifetime is one of five
    minutes, Anthropic's default. Where `iterations` (compaction, advisor, fallback) sum up to more than the top level,
    they are what is billed. Context is large from 200,000 input tokens on, in any one iteration.
    """
    told = mapping(raw)
    iterations = [_counts(turn) for turn in rows(told.get("iterations"))]
    counts = _counts(told)
    largest = max((sum(turn[:4]) for turn in iterations), default=0)
    billed = tuple(sum(column) for column in zip(*iterations, strict=True)) if iterations else counts
    context = largest or sum(counts[:4])
    if sum(billed) > sum(counts):
        counts = billed
    fresh, read, write, write_1h, output = counts
    knows_input = count(told.get("input_tokens")) is not None or bool(iterations)
    knows_output = count(told.get("output_tokens")) is not None or bool(iterations)
    if not knows_input and not knows_output:
        return None
    knows_cache = any(name in told for name in ("cache_creation_input_tokens", "cache_creation"))
    return Usage(
        input_tokens=fresh + read + write + write_1h if knows_input else None,
        output_tokens=output if knows_output else None,
        cache_read=read if read or count(told.get("cache_read_input_tokens")) is not None else None,
        cache_write=write if write or knows_cache else None,
        cache_write_1h=write_1h if write_1h or told.get("cache_creation") else None,
        reasoning=count(mapping(told.get("output_tokens_details")).get("thinking_tokens")),
        reasoning_as_text=True,
        web_search_requests=count(mapping(told.get("server_tool_use")).get("web_search_requests")),
        large_context=context >= LARGE_CONTEXT,
        scope=_scope(told, provider),
    )


def _counts(told: dict[str, Any]) -> tuple[int, int, int, int, int]:
    """Return (fresh input, cache read, write of five minutes, write of an hour, output)."""
    lifetimes = mapping(told.get("cache_creation"))
    short, hour = (
        count(lifetimes.get("ephemeral_5m_input_tokens")) or 0,
        count(lifetimes.get("ephemeral_1h_input_tokens")) or 0,
    )
    # Server-side tools write more than the lifetimes account for; a delta raises the sum without them.
    short = max(short, (count(told.get("cache_creation_input_tokens")) or 0) - hour)
    return (
        count(told.get("input_tokens")) or 0,
        count(told.get("cache_read_input_tokens")) or 0,
        short,
        hour,
        count(told.get("output_tokens")) or 0,
    )


def _tier(told: dict[str, Any]) -> str | None:
    """Return the service tier; fast mode is told apart: https://docs.anthropic.com/en/docs/build-with-claude/fast-mode"""
    return "fast" if told.get("speed") == "fast" else text(told.get("service_tier"))


def _scope(told: dict[str, Any], provider: str) -> str | None:
    """Return where Anthropic itself ran the inference, if it says so: https://docs.anthropic.com/en/docs/build-with-claude/data-residency"""
    place = text(told.get("inference_geo"), 32)
    return f"datazone.{place}" if provider == "anthropic" and place and place not in _NO_SCOPE else None
