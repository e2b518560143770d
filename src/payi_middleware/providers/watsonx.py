"""IBM watsonx.ai: text generation, chat, embeddings and reranking.

Paths and answers: https://cloud.ibm.com/apidocs/watsonx-ai
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from .answer import PARTIAL, Answer
from .family import without_usage
from .match import Match
from .usage import Usage
from .values import count, error_of, loads, rows, text
from .wire import each_event, shorten

__all__ = ["Watsonx"]

_EVENT_LIMIT = 16_384
_ASKED = re.compile(rb'"input_token_count"\s*:\s*([1-9]\d{0,15})\b')
_TEXT = re.compile(rb'"generated_text"\s*:\s*"[^"]')
_UNFINISHED = re.compile(rb'"stop_reason"\s*:\s*"not_finished"', re.IGNORECASE)


class Watsonx:
    """Read generations, embeddings and rerankings; a stream counts its input once and its output as it grows."""

    def __init__(self, match: Match, headers: Mapping[str, str]) -> None:
        self.first_token = False
        self.first_completion = False
        self._asked: int | None = None
        self._last: bytes | None = None
        self._unread = b""
        self._error: bytes | None = None
        self._ended = False

    def see(self, block: bytes) -> bool:
        """Keep the last of the events in `block`; True at the one that says why the generation stopped."""
        if not self.first_completion and _TEXT.search(block):
            self.first_completion = self.first_token = True
        known = self._asked is not None or not _ASKED.search(block)
        if known and len(block) < _EVENT_LIMIT and _is_on_its_way(block):
            self._unread = block  # nearly every event of a stream ends here
            return False
        self._settle()
        return self._look(block)

    def _settle(self) -> None:
        """Look into the event that was kept last."""
        if self._unread:
            self._look(self._unread)
            self._unread = b""

    def _look(self, block: bytes) -> bool:
        ended = False
        for event in each_event(block):
            ended |= self._keep(event)
        return ended

    def _keep(self, event: bytes) -> bool:
        if b'"results"' in event:
            self._last = shorten(event, _EVENT_LIMIT)
            if self._asked is None and (asked := _ASKED.search(event)):
                self._asked = int(asked[1])
            self._ended |= b'"stop_reason"' in event and not _UNFINISHED.search(event)
            return self._ended
        if b'"errors"' in event:
            self._error = shorten(event, _EVENT_LIMIT)
            return True
        return False

    def streamed(self) -> Answer:
        """Return the facts of the last event."""
        self._settle()
        last, error = _parse(self._last), _parse(self._error)
        answer = self._answer(last, self._asked, error)
        if answer.usage is not None:
            return answer if self._ended else replace(answer, notes={PARTIAL: "stream ended before its end"})
        return answer if self._error is None else replace(answer, notes=without_usage("error inside the stream"))

    def whole(self, body: dict[str, Any]) -> Answer:
        """Return the facts of an answer in one body."""
        return self._answer(body, None, body)

    def _answer(self, told: dict[str, Any], asked: int | None, error: dict[str, Any]) -> Answer:
        results = rows(told.get("results"))
        counted = (asked, count(told.get("input_token_count")), _sum(results, "input_token_count"))
        usage = _usage(next((found for found in counted if found is not None), None), results)
        code, message = error_of(error) if error.get("errors") else (None, None)
        return Answer(
            usage=usage,
            model=text(told.get("model_id")),
            finish_reason=next((found for result in results if (found := text(result.get("stop_reason")))), None),
            error_code=code,
            error_message=message,
            notes={} if usage else without_usage("provider sent no usage"),
        )


def _is_on_its_way(block: bytes) -> bool:
    """Return whether `block` has results once, of a generation that has not stopped."""
    results = block.rfind(b'"results"')  # `rfind` takes half the time that `in` does with bytes
    return (
        results >= 0
        and block.find(b'"results"') == results
        and block.rfind(b'"stop_reason":"not_finished"') >= 0
        and block.rfind(b'"errors"') < 0
    )


def _parse(event: bytes | None) -> dict[str, Any]:
    return {} if event is None else loads(event) or {}


def _sum(results: list[dict[str, Any]], name: str) -> int | None:
    counted = [found for result in results if (found := count(result.get(name))) is not None]
    return sum(counted) if counted else None


def _usage(asked: int | None, results: list[dict[str, Any]]) -> Usage | None:
    answered = _sum(results, "generated_token_count")
    return None if asked is None and answered is None else Usage(input_tokens=asked, output_tokens=answered)
