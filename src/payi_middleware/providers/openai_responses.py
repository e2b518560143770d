"""OpenAI responses, and everybody who speaks them.

Streams: https://platform.openai.com/docs/api-reference/responses-streaming
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from .answer import Answer
from .family import Kept, calls, without_usage
from .ids import is_unique
from .match import Match
from .openai_usage import usage_from
from .values import carve, error_of, loads, mapping, rows, text
from .wire import EVENT_LIMIT, each_event, shorten

__all__ = ["OpenAIResponses"]

_OPENING_LIMIT = 24_576
_ITEM_LIMIT = 16_384
_KIND = re.compile(rb'"type"\s*:\s*"(response\.[a-z0-9_.]{1,64}|error)"')
_ANY_DELTA = re.compile(rb'"response\.[a-z0-9_.]{1,64}\.delta"')
_VISIBLE = re.compile(rb'"response\.(?!reasoning)[a-z0-9_.]{1,64}\.delta"')
_CALL = re.compile(rb'"type"\s*:\s*"(?:function_call|custom_tool_call)"')
_NAME = re.compile(rb'"name"\s*:\s*"([^"\\]{1,256})"')
_OPENING = frozenset({b"response.created", b"response.in_progress", b"response.queued"})
_TERMINAL = frozenset(
    {b"response.completed", b"response.incomplete", b"response.failed", b"response.cancelled", b"response.done"}
)


class OpenAIResponses:
    """Read responses; a stream opens with its id and model, and its terminal event repeats the whole answer."""

    def __init__(self, match: Match, headers: Mapping[str, str]) -> None:
        self.first_token = False
        self.first_completion = False
        self._provider = match.provider
        self._fetched = match.api == "openai.responses.retrieve"
        self._opening: bytes | None = None
        self._items = Kept(49_152)
        self._last: bytes | None = None
        self._error: bytes | None = None

    def see(self, block: bytes) -> bool:
        """Keep what matters of the events in `block`; True at `response.completed`, its like, or an error event."""
        if not self.first_completion:
            self._time(block)
        if (
            self._opening is not None
            and block.rfind(b".done") < 0  # `rfind` takes half the time that `in` does with bytes
            and block.rfind(b"response.completed") < 0
            and block.rfind(b"response.incomplete") < 0
            and block.rfind(b"response.failed") < 0
            and block.rfind(b'"error"') < 0
            and block.rfind(b"response.cancelled") < 0
        ):
            return False
        ended = False
        for event in each_event(block):
            ended |= self._keep(event)
        return ended

    def _time(self, block: bytes) -> None:
        if b".delta" not in block:
            return
        if _VISIBLE.search(block):
            self.first_completion = self.first_token = True
        elif not self.first_token and _ANY_DELTA.search(block):
            self.first_token = True

    def _keep(self, event: bytes) -> bool:
        match = _KIND.search(event)
        kind = match[1] if match else b""
        if kind in _OPENING:
            if self._opening is None:
                self._opening = shorten(event, _OPENING_LIMIT)
        elif kind in _TERMINAL:
            self._last = shorten(event, EVENT_LIMIT)
            return True
        elif kind == b"response.output_item.done":
            if _CALL.search(event):
                self._items.add(shorten(event, _ITEM_LIMIT))
        elif kind == b"error" or (not kind and (loads(event) or {}).get("error")):
            self._error = shorten(event, _ITEM_LIMIT)
            return True
        return False

    def streamed(self) -> Answer:
        """Return the facts of the events kept."""
        opening, last = _response(self._opening), _response(self._last)
        answer = self.whole(last or opening)
        done = [call for event in self._items.events if (call := _item(event))]
        called = calls(done)
        error = _event(self._error)
        code, message = error_of(error) if error else (answer.error_code, answer.error_message)
        response_id = answer.response_id or text(opening.get("id"))
        return replace(
            answer,
            response_id=response_id,
            model=answer.model or text(opening.get("model")),
            finish_reason=answer.finish_reason if last else None,
            function_calls=answer.function_calls or called,
            error_code=code,
            error_message=message,
            notes={} if answer.usage else without_usage(self._reason(bool(last))),
            # A background response that the app has left is yet to be picked up, and is counted then.
            unique_id=is_unique(response_id, self._provider) and (bool(last) or opening.get("background") is not True),
            inference=answer.inference or not (last or self._fetched),
        )

    def _reason(self, ended: bool) -> str:
        if self._error is not None:
            return "error inside the stream"
        return "provider sent no usage" if ended else "stream ended before usage"

    def whole(self, body: dict[str, Any]) -> Answer:
        """Return the facts of a response object."""
        usage = usage_from(body.get("usage"), self._provider)
        status = text(body.get("status"))
        code, message = error_of(body) if body.get("error") else (None, None)
        output = rows(body.get("output"))
        waiting = status in ("queued", "in_progress")
        response_id = text(body.get("id"))
        return Answer(
            usage=usage,
            response_id=response_id,
            model=text(body.get("model")),
            finish_reason=status,
            function_calls=calls([call for item in output if (call := _call(item))]),
            error_code=code,
            error_message=message,
            service_tier=text(body.get("service_tier")),
            notes={} if usage else without_usage("response is not complete" if waiting else "provider sent no usage"),
            unique_id=is_unique(response_id, self._provider),
            # What is generated in the background is counted when it is picked up, and what was not, only then.
            inference=not waiting and (not self._fetched or body.get("background") is True),
        )


def _event(event: bytes | None) -> dict[str, Any]:
    if event is None:
        return {}
    return loads(event) or carve(event)


def _response(event: bytes | None) -> dict[str, Any]:
    found = _event(event)
    return mapping(found.get("response")) or found


def _item(event: bytes) -> tuple[str, object] | None:
    whole = loads(event)
    if whole is not None:
        return _call(mapping(whole.get("item")))
    # Arguments too long to keep: the name comes after them.
    names = _NAME.findall(event)
    return (names[-1].decode("utf-8", "replace"), None) if names else None


def _call(item: dict[str, Any]) -> tuple[str, object] | None:
    """Return (name, arguments) if the item calls a tool of the app; the provider's own tools have other types."""
    name = text(item.get("name"))
    if name is None or item.get("type") not in ("function_call", "custom_tool_call"):
        return None
    return name, item.get("arguments", item.get("input"))
