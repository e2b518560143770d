"""Cohere: chat of both versions, generate, embed and rerank.

Streams: https://docs.cohere.com/v2/docs/streaming and https://docs.cohere.com/v1/docs/streaming
Usage: https://docs.cohere.com/v2/reference/chat#response.body.usage
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from .answer import PARTIAL, Answer
from .cohere_usage import tokens_note, usage_from
from .family import Kept, calls, without_usage
from .match import Match
from .values import count, error_of, loads, mapping, rows, text
from .wire import EVENT_LIMIT, each_event, shorten

__all__ = ["Cohere"]

_EVENT_LIMIT = 16_384
_KIND = re.compile(
    rb'"(?:event_)?type"\s*:\s*"(message-start|tool-call-start|tool-call-delta|message-end|stream-start'
    rb'|tool-calls-generation|stream-end|error)"'
)
_FINISHED = re.compile(rb'"is_finished"\s*:\s*true')
_VISIBLE = re.compile(rb'"text"\s*:\s*"[^"]|"tool-call|"tool_calls"\s*:\s*\[\s*\{')
_HIDDEN = re.compile(rb'"thinking"\s*:\s*"[^"]|"tool-plan-delta"')


class Cohere:
    """Read answers in one body, and both kinds of streams: that of version 1 ends with the whole answer."""

    def __init__(self, match: Match, headers: Mapping[str, str]) -> None:
        self.first_token = False
        self.first_completion = False
        self._start: bytes | None = None
        self._tools = Kept(49_152)
        self._arguments = Kept(49_152)
        self._last: bytes | None = None
        self._error: bytes | None = None

    def see(self, block: bytes) -> bool:
        """Keep what matters of the events in `block`; True at the event that ends the stream."""
        if not self.first_completion:
            self._time(block)
        if (
            block.rfind(b'"message-') < 0  # `rfind` takes half the time that `in` does with bytes
            and block.rfind(b'"tool-call') < 0
            and block.rfind(b'"stream-') < 0
            and block.rfind(b"true") < 0
            and block.rfind(b'"error') < 0
        ):
            return False
        ended = False
        for event in each_event(block):
            ended |= self._keep(event)
        return ended

    def _time(self, block: bytes) -> None:
        if _VISIBLE.search(block):
            self.first_completion = self.first_token = True
        elif not self.first_token and _HIDDEN.search(block):
            self.first_token = True

    def _keep(self, event: bytes) -> bool:
        match = _KIND.search(event)
        kind = match[1] if match else b""
        if kind in (b"message-end", b"stream-end") or (not kind and _FINISHED.search(event)):
            self._last = shorten(event, EVENT_LIMIT)
            return True
        if kind in (b"message-start", b"stream-start"):
            self._start = shorten(event, _EVENT_LIMIT)
        elif kind in (b"tool-call-start", b"tool-calls-generation"):
            self._tools.add(shorten(event, _EVENT_LIMIT))
        elif kind == b"tool-call-delta":
            self._arguments.add(shorten(event, _EVENT_LIMIT))
        elif kind == b"error":
            self._error = shorten(event, _EVENT_LIMIT)
            return True
        return False

    def streamed(self) -> Answer:
        """Return the facts of the events kept."""
        start, last = _parse(self._start), _parse(self._last)
        whole = mapping(last.get("response")) or mapping(last.get("delta"))
        told = {**start, **last, **whole}
        answer = self._answer(told, _called(told) or self._calls())
        if self._last is None and self._error is None:
            reason = "stream ended before usage"
            notes = without_usage(reason) if answer.usage is None else {PARTIAL: "stream ended before its end"}
            return replace(answer, notes=notes)
        error = _parse(self._error)
        code, message = error_of(error or told) if error or told.get("error") else (None, None)
        return replace(answer, error_message=message, error_code=code or ("error" if message else None))

    def _calls(self) -> list[tuple[str, object]]:
        parts: dict[int | None, list[str]] = {}
        for raw in self._arguments.events:
            index, function = _tool(raw)
            parts.setdefault(index, []).append(text(function.get("arguments"), _EVENT_LIMIT) or "")
        found: list[tuple[str, object]] = []
        for raw in self._tools.events:
            found += _called(_parse(raw))
            index, function = _tool(raw)
            if name := text(function.get("name")):
                arguments = (text(function.get("arguments"), _EVENT_LIMIT) or "") + "".join(parts.get(index, ()))
                found.append((name, None if self._arguments.lost else arguments))
        return found

    def whole(self, body: dict[str, Any]) -> Answer:
        """Return the facts of an answer in one body."""
        return self._answer(body, _called(body))

    def _answer(self, body: dict[str, Any], called: list[tuple[str, object]]) -> Answer:
        told = mapping(body.get("usage")) or mapping(body.get("meta"))
        usage = usage_from(told)
        generation = next(iter(rows(body.get("generations"))), {})
        return Answer(
            usage=usage,
            response_id=text(body.get("generation_id")) or text(body.get("id")),
            finish_reason=text(body.get("finish_reason")) or text(generation.get("finish_reason")),
            function_calls=calls(called),
            notes=without_usage("provider sent no usage") if usage is None else tokens_note(told),
        )


def _parse(event: bytes | None) -> dict[str, Any]:
    return {} if event is None else loads(event) or {}


def _tool(event: bytes) -> tuple[int | None, dict[str, Any]]:
    """Return the (index, function) of a tool call's event of version 2."""
    told = _parse(event)
    call = mapping(mapping(mapping(told.get("delta")).get("message")).get("tool_calls"))
    return count(told.get("index")), mapping(call.get("function"))


def _called(body: dict[str, Any]) -> list[tuple[str, object]]:
    """Return (name, arguments) of the tool calls of a whole answer: version 2 has them in its message."""
    found: list[tuple[str, object]] = []
    for call in [*rows(mapping(body.get("message")).get("tool_calls")), *rows(body.get("tool_calls"))]:
        function = mapping(call.get("function")) or call
        if name := text(function.get("name")):
            found.append((name, function.get("arguments", function.get("parameters"))))
    return found
