"""Gemini's interactions, whole and streamed.

Types: https://ai.google.dev/api/interactions-api
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from .answer import PARTIAL, Answer
from .family import Kept, calls, without_usage
from .gemini_usage import interaction_usage
from .match import Match
from .values import carve, count, error_of, loads, mapping, rows, text
from .wire import EVENT_LIMIT, each_event, shorten

__all__ = ["GeminiInteractions"]

_EVENT_LIMIT = 16_384
_KIND = re.compile(rb'"event_type"\s*:\s*"([a-z_.]{1,64})"')
# The names that ended in `start` and `complete`, and `content` where there is `step` now, are those of the first beta.
_OPENING = frozenset({b"interaction.created", b"interaction.start"})
_TERMINAL = frozenset(
    f"interaction.{end}".encode() for end in ("completed", "complete", "failed", "cancelled", "incomplete")
)
_CALL = re.compile(rb'"type"\s*:\s*"function_call"')
_ARGUMENTS = b'"arguments_delta"'
_DELTA = (b"event: step.delta\n", b"event: content.delta\n")
_SAID = re.compile(rb'"type"\s*:\s*"(?:text|image|audio|video|function_call)"')
_THOUGHT = re.compile(rb'"type"\s*:\s*"thought_summary"')
_WAITING = frozenset({"in_progress", "queued"})


class GeminiInteractions:
    """Read interactions; a stream opens with id and model, and its terminal event has the usage of the whole.

    One that goes on in the background counts once, when it is picked up and has ended. Whatever is picked up again has
    the same id, and Pay-i takes a report of the same id for a duplicate.
    """

    def __init__(self, match: Match, headers: Mapping[str, str]) -> None:
        self.first_token = False
        self.first_completion = False
        self._fetched = match.api == "gemini.interactions.retrieve"
        self._opening: bytes | None = None
        self._last: bytes | None = None
        self._interim: bytes | None = None
        self._error: bytes | None = None
        self._calls = Kept(49_152)
        self._arguments = Kept(49_152)

    def see(self, block: bytes) -> bool:
        """Keep what matters of the events in `block`; True at `interaction.completed`, its like, or an error event."""
        if (
            self.first_completion
            and block.startswith(_DELTA)
            and block.rfind(b"event: ") == 0  # `rfind` takes half the time that `in` does with bytes
            and block.rfind(_ARGUMENTS) < 0
            and block.rfind(b'"function_call"') < 0
            and block.rfind(b'"usage"') < 0
        ):
            return False  # nearly every event of a stream ends here
        ended = False
        for event in each_event(block):
            match = _KIND.search(event)
            kind = match[1] if match else b""
            if not self.first_completion and kind.endswith((b".delta", b".start")):
                self._time(event, kind)
            ended |= self._keep(event, kind)
        return ended

    def _time(self, event: bytes, kind: bytes) -> None:
        if b'"function_call"' in event or (kind.endswith(b".delta") and _SAID.search(event)):
            self.first_token = True
            self.first_completion = not _THOUGHT.search(event)

    def _keep(self, event: bytes, kind: bytes) -> bool:
        if kind in _TERMINAL:
            self._last = shorten(event, EVENT_LIMIT)
            return True
        if kind in _OPENING:
            self._opening = self._opening or shorten(event, _EVENT_LIMIT)
        if b'"usage"' in event:
            self._interim = shorten(event, _EVENT_LIMIT)  # counts are cumulative
        if _CALL.search(event):
            self._calls.add(shorten(event, _EVENT_LIMIT))
        elif _ARGUMENTS in event:
            self._arguments.add(shorten(event, _EVENT_LIMIT))
        if kind == b"error" or (not kind and (loads(event) or {}).get("error")):
            self._error = shorten(event, _EVENT_LIMIT)
            return True
        return False

    def streamed(self) -> Answer:
        """Return the facts of the events kept."""
        opening, last = _interaction(_parsed(self._opening)), _interaction(_parsed(self._last))
        told = last.get("usage") or mapping(_parsed(self._interim).get("metadata")).get("usage")
        answer = self.whole({**opening, **last, "usage": told})
        error = _parsed(self._error)
        code, message = error_of(error) if error else (answer.error_code, answer.error_message)
        return Answer(
            usage=answer.usage,
            response_id=answer.response_id,
            model=answer.model,
            finish_reason=answer.finish_reason if last else None,
            function_calls=answer.function_calls or calls(self._called()),
            error_code=code,
            error_message=message,
            service_tier=answer.service_tier,
            notes=self._notes(answer.usage is not None),
            # What the app has left may go on without it and is yet to be picked up, to be counted then.
            unique_id=self._last is not None or answer.usage is not None,
            inference=not self._fetched or self._last is not None,
        )

    def _notes(self, counted: bool) -> dict[str, str]:
        if counted:
            return {} if self._last is not None else {PARTIAL: "stream ended before its end"}
        if self._error is not None:
            return without_usage("error inside the stream")
        return without_usage("provider sent no usage" if self._last is not None else "stream ended before usage")

    def _called(self) -> list[tuple[str, object]]:
        parts: dict[int | None, list[str]] = {}
        for raw in self._arguments.events:
            event = _parsed(raw)
            fragment = text(mapping(event.get("delta")).get("arguments"), _EVENT_LIMIT)
            parts.setdefault(count(event.get("index")), []).append(fragment or "")
        found: list[tuple[str, object]] = []
        for raw in self._calls.events:
            event = _parsed(raw)
            call = mapping(event.get("step")) or mapping(event.get("content")) or mapping(event.get("delta"))
            arguments = "".join(parts.get(count(event.get("index")), ())) or call.get("arguments")
            if call.get("type") == "function_call" and (name := text(call.get("name"))):
                found.append((name, None if self._arguments.lost else arguments))
        return found

    def whole(self, body: dict[str, Any]) -> Answer:
        """Return the facts of an interaction object."""
        model = text(body.get("model")) or text(body.get("agent"))
        usage = interaction_usage(body.get("usage"), model)
        status = text(body.get("status"))
        code, message = error_of(body) if body.get("error") else (None, None)
        steps = rows(body.get("steps")) or rows(body.get("outputs"))
        found: list[tuple[str, object]] = [
            (name, step.get("arguments"))
            for step in steps
            if step.get("type") == "function_call" and (name := text(step.get("name")))
        ]
        waiting = status in _WAITING
        return Answer(
            usage=usage,
            response_id=text(body.get("id")),
            model=model,
            finish_reason=status,
            function_calls=calls(found),
            error_code=code,
            error_message=message,
            service_tier=text(body.get("service_tier")),
            notes={}
            if usage
            else without_usage("interaction is not complete" if waiting else "provider sent no usage"),
            inference=not waiting,
        )


def _parsed(event: bytes | None) -> dict[str, Any]:
    if event is None:
        return {}
    return loads(event) or carve(event)


def _interaction(event: dict[str, Any]) -> dict[str, Any]:
    return mapping(event.get("interaction")) or event
