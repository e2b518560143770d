"""OpenAI chat completions, completions and embeddings, and everybody who speaks them.

Streams: https://platform.openai.com/docs/api-reference/chat-streaming
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from .answer import PARTIAL, Answer
from .cohere_usage import usage_from as billed_by_cohere
from .echo import Echo
from .family import Kept, calls, without_usage
from .ids import is_unique
from .match import Match
from .openai_calls import called_in, streamed_calls
from .openai_usage import usage_from
from .usage import Usage
from .values import carve, error_of, loads, mapping, rows, text
from .wire import each_event, each_named_event, shorten

__all__ = ["OpenAIChat"]

_EVENT_LIMIT = 16_384
_USAGE = re.compile(rb'"usage"\s*:\s*\{')
_COUNTED = re.compile(rb'_tokens"\s*:\s*"?[1-9]')
_FINISH = re.compile(rb'"finish_reason"\s*:\s*"[^"]')  # some hosts send an empty one with every delta
_CALLING = re.compile(rb'"(?:tool_calls"\s*:\s*\[\s*\{|function_call"\s*:\s*\{)')
_NAME = re.compile(rb'"name"\s*:\s*"([^"\\]{1,256})"')
_VISIBLE = re.compile(
    rb'"(?:content|refusal|transcript)"\s*:\s*"[^"]'
    rb'|"content"\s*:\s*\[\s*\{\s*"type"\s*:\s*"text"'
    rb'|"tool_calls"\s*:\s*\[\s*\{|"function_call"\s*:\s*\{'
)
_VISIBLE_TEXT = re.compile(rb'"text"\s*:\s*"[^"]|' + _VISIBLE.pattern)  # gateways answer prompts with chats, too
_HIDDEN = re.compile(rb'"(?:reasoning_content|reasoning|reasoning_text|thinking|text)"\s*:\s*"[^"]')


class OpenAIChat:
    """Read chat completions, completions and embeddings.

    Only the few events that carry facts are kept, and none is parsed before the end: `see` decides by searching bytes.
    """

    first_token = False
    first_completion = False
    _streams = False
    _named = False
    _usage: bytes | None = None
    _error: bytes | None = None
    _dull = b""
    _done = False

    def __init__(self, match: Match, headers: Mapping[str, str]) -> None:
        self._match = match
        self._provider = match.provider

    def _begin_stream(self) -> None:
        """Make what an answer needs that does not come whole, as most do."""
        self._visible = _VISIBLE_TEXT if self._match.api == "openai.completions" else _VISIBLE
        self._opening = Kept(2 * _EVENT_LIMIT)
        self.echo = Echo()
        self._finish = Kept(24_576)
        self._names = Kept(32_768)
        self._arguments = Kept(32_768)
        self._streams = True  # last, as another thread may end the exchange meanwhile

    def see(self, block: bytes) -> bool:
        """Keep what matters of the events in `block`; True at `[DONE]` or an error event."""
        if not self._streams:
            self._begin_stream()
        echo = self.echo
        if (self.first_completion or (self.first_token and echo.hidden)) and echo.fits(block):
            return False  # nearly every event of a stream ends here
        if not self.first_completion:
            self._time(block)
        if (
            self._named
            and block.rfind(b'"finish_reason":"') < 0  # `rfind` takes half the time that `in` does with bytes
            and block.rfind(b"_call") < 0
            and block.rfind(b"[DONE]") < 0
            and block.rfind(b'"error"') < 0
            and block.rfind(b": error") < 0  # an event's name
            and block.rfind(b":error") < 0
            and block.rfind(b'"usage": {') < 0
            and block.rfind(b'"finish_reason": "') < 0
        ):
            at = block.rfind(b'"usage":{')
            if at < 0:
                return self._skip(block)
            if len(block) <= _EVENT_LIMIT:
                return self._count(block, at)
        ended = told = False
        for event in each_event(block):
            told |= self._keep(event)
            ended |= self._ends(event)
        if not ended and b"event:" in block:
            ended = self._fails(block)
        if not ended and not told:
            self._skip(block)
        return ended

    def _fails(self, block: bytes) -> bool:
        """Keep an event that is an error by its name alone, which may be any text."""
        found = next((event for name, event in each_named_event(block) if name == b"error"), None)
        if found is None or self._error is not None:
            return False
        self._error = shorten(found, _EVENT_LIMIT)
        return True

    def _count(self, told: bytes, at: int) -> bool:
        """Keep an event, or a block of them, that has usage from `at` on.

        Counts are cumulative where several events carry them: the last one holds, unless it is an empty form.
        """
        if self._usage is None or _COUNTED.search(told, at):
            self._usage = told
        return False

    def _skip(self, block: bytes) -> bool:
        if len(block) <= _EVENT_LIMIT:
            self.echo.learn(block)
            self._dull = block
        return False

    def _time(self, block: bytes) -> None:
        if self._visible.search(block):
            self.first_completion = self.first_token = True
        elif not self.first_token and _HIDDEN.search(block):
            self.first_token = True

    def _keep(self, event: bytes) -> bool:
        """Keep the event if it carries a fact, and return whether it does."""
        short = shorten(event, _EVENT_LIMIT)
        told = not self._named
        if told:
            self._open(short)
        if usage := _USAGE.search(event):
            self._count(short, usage.end() if short is event else 0)
            told = True
        if _FINISH.search(event):
            self._finish.add(short)
            told = True
        if b"_call" in event and _CALLING.search(event):
            self._call(event)
            told = True
        return told

    def _call(self, event: bytes) -> None:
        names = _NAME.findall(event)
        if not names:
            self._arguments.add(shorten(event, _EVENT_LIMIT))
        elif len(event) <= _EVENT_LIMIT:
            self._names.add(event)
        else:
            self._arguments.lost = True
            told = b",".join(b'{"function":{"name":"%s"}}' % name for name in names[:64])
            self._names.add(b'{"choices":[{"delta":{"tool_calls":[%s]}}]}' % told)

    def _ends(self, event: bytes) -> bool:
        if b"[DONE]" in event and event.strip() == b"[DONE]":
            self._done = True
        elif b'"error"' in event and self._error is None and (loads(event) or {}).get("error"):
            self._error = shorten(event, _EVENT_LIMIT)
        else:
            return False
        return True

    def _open(self, event: bytes) -> None:
        """Keep the first events until one has both an id and a model: Azure opens with one whose members are empty."""
        start = carve(event)
        self._named = bool(start.get("id") and start.get("model")) or self._opening.lost
        self._opening.add(event)

    def streamed(self) -> Answer:
        """Return the facts of the events kept."""
        if not self._streams:
            self._begin_stream()
        opening, finishing = _parsed(self._opening), _parsed(self._finish)
        last = _newest(self._usage)
        usage = _usage_of(last, self._provider)
        if usage is None:  # a spelling of JSON that the searches do not know
            last = next((found for event in each_event(self._dull) if (found := loads(event))), last)
            usage = _usage_of(last, self._provider)
        said = [*opening, *finishing, last]
        finish = _finish([choice for event in finishing for choice in rows(event.get("choices"))])
        called = streamed_calls(_parsed(self._names), [] if self._arguments.lost else _parsed(self._arguments))
        if self._arguments.lost:
            called = [(name, None) for name, _ in called]
        error = _parse(self._error)
        code, message = error_of(error) if error else (None, None)
        if self._error is not None and code is None:
            code = "error"
        response_id = _first(said, "id")
        return Answer(
            usage=usage,
            response_id=response_id,
            model=_first(said, "model"),
            finish_reason=finish,
            function_calls=calls(called),
            error_code=code,
            error_message=message,
            service_tier=_tier([last, *finishing, *opening]),
            notes=self._notes(usage is not None, finish is not None),
            unique_id=is_unique(response_id, self._provider, _first(said, "system_fingerprint")),
        )

    def _notes(self, counted: bool, finished: bool) -> dict[str, str]:
        ended = self._done or finished
        if counted:
            return {} if ended else {PARTIAL: "stream ended before its end"}
        if self._error is not None:
            return without_usage("error inside the stream")
        return without_usage("provider sent no usage" if ended else "stream ended before usage")

    def whole(self, body: dict[str, Any]) -> Answer:
        """Return the facts of an answer in one body."""
        choices = rows(body.get("choices"))
        called = [call for choice in choices for call in called_in(mapping(choice.get("message")))]
        usage = _usage_of(body, self._provider)
        if usage is None and "results" in body:  # gateways pass Cohere's rankings on as they are
            usage = billed_by_cohere(mapping(body.get("meta")))
        code, message = error_of(body) if body.get("error") else (None, None)
        response_id = text(body.get("id"))
        return Answer(
            usage=usage,
            response_id=response_id,
            model=text(body.get("model")),
            finish_reason=_finish(choices),
            function_calls=calls(called) if called else (),
            error_code=code,
            error_message=message,
            service_tier=_tier([body]),
            notes={} if usage else without_usage("provider sent no usage"),
            unique_id=is_unique(response_id, self._provider, body.get("system_fingerprint")),
        )


def _parse(event: bytes | None) -> dict[str, Any]:
    if event is None:
        return {}
    return loads(event) or carve(event)


def _parsed(kept: Kept) -> list[dict[str, Any]]:
    return [_parse(event) for event in kept.events]


def _newest(told: bytes | None) -> dict[str, Any]:
    """Return the last event that has counts, of one that was kept or a block of them."""
    whole = None if told is None else loads(told)
    if told is None or whole is not None:
        return whole or {}
    events = [event for event in each_event(told) if _USAGE.search(event)] or [told]
    return _parse(next((event for event in reversed(events) if _COUNTED.search(event)), events[-1]))


def _usage_of(body: dict[str, Any], provider: str) -> Usage | None:
    """Return the usage, also where Groq (`x_groq`) and Moonshot (in the choice) put it in streams."""
    if found := usage_from(body.get("usage"), provider):
        return found
    places = [mapping(body.get("x_groq")), *rows(body.get("choices"))]
    return next((found for place in places if (found := usage_from(place.get("usage"), provider))), None)


def _first(said: list[dict[str, Any]], name: str) -> str | None:
    return next((found for event in said if (found := text(event.get(name)))), None)


def _tier(said: list[dict[str, Any]]) -> str | None:
    """Return the service tier: OpenAI tells it beside the usage, Mistral inside."""
    for event in said:
        found = text(event.get("service_tier")) or text(mapping(event.get("usage")).get("service_tier"))
        if found:
            return found
    return None


def _finish(choices: list[dict[str, Any]]) -> str | None:
    if len(choices) == 1:
        return text(choices[0].get("finish_reason"))
    told = [choice for choice in choices if text(choice.get("finish_reason"))]
    first = next((choice for choice in told if not choice.get("index")), told[0] if told else {})
    return text(first.get("finish_reason"))
