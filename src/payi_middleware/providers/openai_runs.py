"""Runs of OpenAI's assistants.

Runs: https://platform.openai.com/docs/api-reference/runs
Streams: https://platform.openai.com/docs/api-reference/assistants-streaming/events
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from .answer import Answer
from .family import calls, without_usage
from .match import Match
from .openai_usage import usage_from
from .values import carve, error_of, loads, mapping, rows, text
from .wire import EVENT_LIMIT, each_named_event, shorten

__all__ = ["OpenAIRuns"]

_RUN = b"thread.run."
_STEP = b"thread.run.step."
_ENDED = frozenset({"completed", "incomplete", "failed", "cancelled", "expired"})


class OpenAIRuns:
    """Read runs, each of which counts once: when a stream or a poll shows it ended.

    Until then the answer is no inference of its own. Every later poll repeats the usage under the run's id, and Pay-i
    takes a report of the same id for a duplicate. The usage of a run's steps is part of the run's.
    """

    def __init__(self, match: Match, headers: Mapping[str, str]) -> None:
        self.first_token = False
        self.first_completion = False
        self._provider = match.provider
        self._run: bytes | None = None
        self._error: bytes | None = None
        self._done = False

    def see(self, block: bytes) -> bool:
        """Keep the newest event of the run itself; True at `[DONE]` or an error event."""
        if not self.first_completion and b"thread.message.delta" in block:
            self.first_token = self.first_completion = True
        if _RUN not in block and b"[DONE]" not in block and b"error" not in block:
            return False
        ended = False
        for name, data in each_named_event(block):
            if name.startswith(_RUN) and not name.startswith(_STEP):
                self._run = shorten(data, EVENT_LIMIT)
            elif name == b"error" or (not name and b'"error"' in data):
                self._error = shorten(data, EVENT_LIMIT)
                ended = True
            elif data.strip() == b"[DONE]":
                self._done = ended = True
        return ended

    def streamed(self) -> Answer:
        """Return the facts of the last event of the run."""
        run = _event(self._run)
        answer = self.whole(run)
        if self._error is not None:
            code, message = error_of(_event(self._error))
            answer = replace(answer, error_code=code or "error", error_message=message, inference=True)
        if answer.usage is not None:
            return answer
        if run.get("status") in _ENDED or (run.get("status") == "requires_action" and self._error is None):
            return answer
        reason = "error inside the stream" if self._error is not None else "stream ended before usage"
        # The run goes on without its stream, and a poll may yet show what it consumed: under the id that is free then.
        return replace(answer, unique_id=False, inference=True, notes=without_usage(reason))

    def whole(self, body: dict[str, Any]) -> Answer:
        """Return the facts of a run object."""
        status = text(body.get("status"))
        ended = status in _ENDED
        code, message = error_of({"error": body["last_error"]}) if body.get("last_error") else (None, None)
        usage = usage_from(body.get("usage"), self._provider)
        wanted = mapping(mapping(body.get("required_action")).get("submit_tool_outputs"))
        called: list[tuple[str, object]] = []
        for call in rows(wanted.get("tool_calls")):
            function = mapping(call.get("function"))
            if name := text(function.get("name")):
                called.append((name, function.get("arguments")))
        return Answer(
            usage=usage,
            response_id=text(body.get("id")),
            model=text(body.get("model")),
            finish_reason=status,
            function_calls=calls(called),
            error_code=code,
            error_message=message,
            notes={} if usage else without_usage("provider sent no usage" if ended else "run has not ended"),
            inference=ended,
        )


def _event(event: bytes | None) -> dict[str, Any]:
    if event is None:
        return {}
    return loads(event) or carve(event)
