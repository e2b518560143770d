"""Ollama's own API: chat, generate and embed.

Answers: https://docs.ollama.com/api/chat and https://docs.ollama.com/api/usage
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from .answer import Answer
from .family import Kept, calls, without_usage
from .match import Match
from .usage import Usage
from .values import count, error_of, loads, mapping, rows, text
from .wire import each_event, shorten

__all__ = ["Ollama"]

_EVENT_LIMIT = 16_384
_LAST_LIMIT = 65_536  # generate ends with the whole context as numbers
_DONE = re.compile(rb'"done"\s*:\s*true')
_CALLING = re.compile(rb'"tool_calls"\s*:\s*\[\s*\{')
_VISIBLE = re.compile(rb'"(?:content|response)"\s*:\s*"[^"]|"tool_calls"\s*:\s*\[\s*\{')
_HIDDEN = re.compile(rb'"thinking"\s*:\s*"[^"]')
_COUNT = {
    name: re.compile(rb'"%s"\s*:\s*(\d{1,16})\b' % name.encode())
    for name in ("prompt_eval_count", "prompt_eval_cached_count", "eval_count")
}


class Ollama:
    """Read answers; a stream's objects all name the model, and the last one counts."""

    def __init__(self, match: Match, headers: Mapping[str, str]) -> None:
        self.first_token = False
        self.first_completion = False
        self._first: bytes | None = None
        self._tools = Kept(49_152)
        self._last: bytes | None = None
        self._error: bytes | None = None

    def see(self, block: bytes) -> bool:
        """Keep what matters of the objects in `block`; True at the one that is `done`, or an error."""
        if not self.first_completion:
            self._time(block)
        if (
            self._first is not None  # `rfind` takes half the time that `in` does with bytes
            and block.rfind(b"true") < 0
            and block.rfind(b'"tool_calls"') < 0
            and block.rfind(b'"error"') < 0
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
        if self._first is None:
            self._first = shorten(event, _EVENT_LIMIT)
        if _CALLING.search(event):
            self._tools.add(shorten(event, _EVENT_LIMIT))
        if _DONE.search(event):
            self._last = shorten(event, _LAST_LIMIT)
            return True
        if b'"error"' in event and (loads(event) or {}).get("error"):
            self._error = shorten(event, _EVENT_LIMIT)
            return True
        return False

    def streamed(self) -> Answer:
        """Return the facts of the objects kept."""
        told = {**_parse(self._first), **_parse(self._last), **_parse(self._error)}
        return self._answer(told, [call for event in self._tools.events for call in _called(_parse(event))])

    def whole(self, body: dict[str, Any]) -> Answer:
        """Return the facts of an answer in one body."""
        return self._answer(body, _called(body), ended=True)

    def _answer(self, told: dict[str, Any], called: list[tuple[str, object]], ended: bool = False) -> Answer:
        usage = _usage(told)
        code, message = error_of(told) if told.get("error") else (None, None)
        return Answer(
            usage=usage,
            model=text(told.get("model")),
            finish_reason=text(told.get("done_reason")),
            function_calls=calls(called),
            error_code=code or ("error" if message else None),
            error_message=message,
            notes={} if usage else without_usage(self._reason(ended)),
        )

    def _reason(self, ended: bool) -> str:
        if self._error is not None:
            return "error inside the stream"
        return "provider sent no usage" if ended or self._last is not None else "stream ended before usage"


def _parse(event: bytes | None) -> dict[str, Any]:
    if event is None:
        return {}
    return loads(event) or {name: int(last[-1]) for name, found in _COUNT.items() if (last := found.findall(event))}


def _usage(told: dict[str, Any]) -> Usage | None:
    """Return the usage; older versions leave the count of a prompt out where all of it is in the cache."""
    asked, answered = count(told.get("prompt_eval_count")), count(told.get("eval_count"))
    if asked is None and answered is None:
        return None
    return Usage(input_tokens=asked, output_tokens=answered, cache_read=count(told.get("prompt_eval_cached_count")))


def _called(told: dict[str, Any]) -> list[tuple[str, object]]:
    functions = [mapping(call.get("function")) for call in rows(mapping(told.get("message")).get("tool_calls"))]
    return [(name, function.get("arguments")) for function in functions if (name := text(function.get("name")))]
