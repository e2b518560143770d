"""Gemini's generations, whole and streamed, on AI Studio and on Vertex AI.

Types: https://ai.google.dev/api/generate-content#v1beta.GenerateContentResponse
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

from .answer import PARTIAL, Answer
from .family import Kept, calls, without_usage
from .gemini_usage import joined, service_tier, usage_from
from .match import Match
from .values import error_of, loads, mapping, rows, text
from .wire import each_event, shorten

__all__ = ["Gemini"]

_EVENT_LIMIT = 16_384
_WEIGHT = 64  # see Kept
_USAGE_LIMIT = 4_096
_USAGE = b'"usageMetadata"'
_PROMPT, _CANDIDATES = b'"promptTokenCount"', b'"candidatesTokenCount"'
_THOUGHTS, _TOOLS, _CACHED = b'"thoughtsTokenCount"', b'"toolUsePromptTokenCount"', b'"cachedContentTokenCount"'
_ID = re.compile(rb'"responseId"\s*:\s*"([^"\\]{1,256})"')
_MODEL = re.compile(rb'"modelVersion"\s*:\s*"([^"\\]{1,256})"')
_FINISH = re.compile(rb'"finishReason"\s*:\s*"?([A-Z_]{1,64}|\d{1,3})')
_BLOCK = re.compile(rb'"blockReason"\s*:\s*"?([A-Z_]{1,64}|\d{1,3})')
_CALL = re.compile(rb'"functionCall"\s*:\s*(?=\{)')
_NAME = re.compile(rb'\{\s*"name"\s*:\s*"([^"\\]{1,256})"')
_MADE = re.compile(rb'"text"\s*:\s*"[^"]|"(?:functionCall|inlineData|executableCode)"\s*:\s*\{')
_THOUGHT = re.compile(rb'"thought"\s*:\s*true')
# The numbers on which AI Studio's and Vertex AI's lists agree, for gateways that write enums as numbers.
_REASONS = {"1": "STOP", "2": "MAX_TOKENS", "3": "SAFETY", "4": "RECITATION", "5": "OTHER"}
_DECODER = json.JSONDecoder()


class Gemini:
    """Read generations; every event of a stream repeats the ids and counts again all that was used so far.

    A stream has no last event of its own: a finish reason may come before the last counts, so that only the end of the
    body is its end. Nothing is parsed before that.
    """

    def __init__(self, match: Match, headers: Mapping[str, str]) -> None:
        self.first_token = False
        self.first_completion = False
        self._asked = match.model_from_path
        self._id: str | None = None
        self._model: str | None = None
        self._finish: str | None = None
        self._blocked: str | None = None
        self._last = b""
        self._unread = b""
        self._form = b""
        self._counted: dict[str, bytes] = {}  # by counter
        self._calls = Kept(49_152)
        self._error: dict[str, Any] = {}

    def see(self, block: bytes) -> bool:
        """Keep what matters of the events in `block`; True at an error."""
        if not self.first_completion:
            self._time(block)
        at = block.rfind(_USAGE)
        if (
            self._model is not None
            and self._id is not None
            and block.rfind(b'Reason"') < 0  # `rfind` takes half the time that `in` does with bytes
            and block.rfind(b'"functionCall"') < 0
            and block.rfind(b'"error"') < 0
            and block.count(_USAGE) < 2
        ):
            self._newest(block[at : at + _USAGE_LIMIT])  # nearly every event of a stream ends here
            return False
        self._settle()
        for event in each_event(block):
            self._keep(event)
        return b'"error"' in block and not self._error and self._fails(block)

    def _time(self, block: bytes) -> None:
        made = len(_MADE.findall(block))
        if not made:
            return
        self.first_token = True
        self.first_completion = made > len(_THOUGHT.findall(block))

    def _keep(self, event: bytes) -> None:
        at = event.rfind(_USAGE)
        if at >= 0:
            self._count(event[at : at + _USAGE_LIMIT])
        if self._id is None or self._model is None:
            self._id = self._id or _found(_ID, event)
            self._model = self._model or _found(_MODEL, event)
        if b'"finishReason"' in event and self._finish is None:
            self._finish = _reason(_found(_FINISH, event))
        if b'"functionCall"' in event:
            self._call(event)
        if b'"blockReason"' in event:
            self._blocked = self._blocked or _found(_BLOCK, event)

    def _newest(self, usage: bytes) -> None:
        """Keep the usage of an event; looked into only if it may hold other counters than the one before."""
        form = usage.translate(None, b"0123456789")
        if form != self._form:
            self._settle()
            self._form = form
        self._unread = usage

    def _settle(self) -> None:
        """Look into the usage that was kept last."""
        if self._unread:
            self._count(self._unread)
            self._unread = self._form = b""

    def _count(self, usage: bytes) -> None:
        """Keep the usage as the last one of each counter that it has; one without any counts nothing yet."""
        counted = self._counted
        if _PROMPT in usage:
            self._last = counted["promptTokenCount"] = usage
        if _CANDIDATES in usage:
            self._last = counted["candidatesTokenCount"] = usage
        if _THOUGHTS in usage:
            self._last = counted["thoughtsTokenCount"] = usage
        if _TOOLS in usage:
            self._last = counted["toolUsePromptTokenCount"] = usage
        if _CACHED in usage:
            self._last = counted["cachedContentTokenCount"] = usage

    def _call(self, event: bytes) -> None:
        """Keep an event that names calls, or what of them there is room for; mere parts of arguments are no news."""
        if b'"name"' not in event:
            return
        if len(event) > _EVENT_LIMIT:
            event = _calls_within(event)
        if len(event) > min(_EVENT_LIMIT, self._calls.room - _WEIGHT):
            event = _calls_within(event, arguments=False)
        self._calls.add(event)

    def _fails(self, block: bytes) -> bool:
        """Find an error, which may be an event or, at the end of a stream, JSON that no event carries."""
        for part in (*each_event(block), block):
            body = loads(part)
            if body is not None and body.get("error"):
                self._error = loads(shorten(part, _EVENT_LIMIT)) or {"error": {"message": "error too long to keep"}}
                return True
        return False

    def streamed(self) -> Answer:
        """Return the facts of the events seen."""
        self._settle()
        before = {name: _usage_of(raw) for name, raw in self._counted.items()}
        told = joined(_usage_of(self._last), before)
        usage = usage_from(told, self._model or self._asked)
        code, message = error_of(self._error) if self._error else (None, None)
        return Answer(
            usage=usage,
            response_id=self._id,
            model=self._model,
            finish_reason=self._finish or self._blocked,
            function_calls=calls([call for raw in self._calls.events for call in _called(loads(raw) or {})]),
            error_code=code,
            error_message=message,
            service_tier=service_tier(told),
            notes=self._notes(usage is not None),
        )

    def _notes(self, counted: bool) -> dict[str, str]:
        ended = self._finish is not None or self._blocked is not None
        if counted:
            return {} if ended else {PARTIAL: "stream ended before its end"}
        if self._error:
            return without_usage("error inside the stream")
        return without_usage(_reason_missing(self._blocked) if ended else "stream ended before usage")

    def whole(self, body: dict[str, Any]) -> Answer:
        """Return the facts of a generation in one body."""
        told = mapping(body.get("usageMetadata"))
        model = text(body.get("modelVersion"))
        usage = usage_from(told, model or self._asked)
        blocked = text(mapping(body.get("promptFeedback")).get("blockReason"))
        code, message = error_of(body) if body.get("error") else (None, None)
        return Answer(
            usage=usage,
            response_id=text(body.get("responseId")),
            model=model,
            finish_reason=_finish(body) or blocked,
            function_calls=calls(_called(body)),
            error_code=code,
            error_message=message,
            service_tier=service_tier(told),
            notes={} if usage else without_usage(_reason_missing(blocked)),
        )


def _reason_missing(blocked: str | None) -> str:
    return f"prompt blocked: {blocked}" if blocked else "provider sent no usage"


def _found(pattern: re.Pattern[bytes], event: bytes) -> str | None:
    match = pattern.search(event)
    return match[1].decode() if match else None


def _reason(told: object) -> str | None:
    """Return the finish reason; the one of value 0 says that there is none yet."""
    name = str(told) if told is not None else ""
    return None if name in ("", "0", "FINISH_REASON_UNSPECIFIED") else _REASONS.get(name, name)[:64]


def _finish(body: dict[str, Any]) -> str | None:
    told = [candidate for candidate in rows(body.get("candidates")) if _reason(candidate.get("finishReason"))]
    first = next((candidate for candidate in told if not candidate.get("index")), told[0] if told else {})
    return _reason(first.get("finishReason"))


def _called(body: dict[str, Any]) -> list[tuple[str, object]]:
    """Return (name, arguments) of the calls in a generation; arguments that are still to come count as unknown."""
    found: list[tuple[str, object]] = []
    for candidate in rows(body.get("candidates")):
        for part in rows(mapping(candidate.get("content")).get("parts")):
            call = mapping(part.get("functionCall"))
            if name := text(call.get("name")):
                found.append((name, None if call.get("willContinue") else call.get("args")))
    return found


def _calls_within(event: bytes, *, arguments: bool = True) -> bytes:
    """Return an event with nothing but the function calls of one that is long, mostly for its signature."""
    parts = []
    for match in _CALL.finditer(event):
        told = event[match.end() : match.end() + _EVENT_LIMIT]
        call: dict[str, Any] = {}
        with suppress(ValueError, RecursionError):
            call = mapping(_DECODER.raw_decode(told.decode("utf-8", "replace"))[0])
        if not call and (named := _NAME.match(told)):
            call = {"name": named[1].decode("utf-8", "replace")}
        parts.append({"functionCall": call if arguments else {"name": call.get("name")}})
    return json.dumps({"candidates": [{"content": {"parts": parts}}]}, separators=(",", ":")).encode()


def _usage_of(told: bytes) -> dict[str, Any]:
    """Return the object that follows the name `usageMetadata`."""
    _, _, value = told.partition(b":")
    with suppress(ValueError, RecursionError):
        found, _ = _DECODER.raw_decode(value.lstrip().decode("utf-8", "replace"))
        return mapping(found)
    return {}
