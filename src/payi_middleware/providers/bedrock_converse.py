"""Amazon Bedrock's Converse, and the streams of Amazon's own models, which nest the same events.

https://docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_ConverseStream.html
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from .answer import PARTIAL, Answer
from .bedrock_usage import guardrail_counts, intervention, usage_from, with_counts
from .family import Kept, calls, without_usage
from .match import Match
from .values import carve, count, error_of, loads, mapping, rows, text
from .wire import EVENT_LIMIT, each_event, shorten

__all__ = ["EXCEPTION", "BedrockConverse", "named_events"]

EXCEPTION = re.compile(rb"\w*(?:Exception|Error|Failure)\Z")
"""The name of the message that ends a stream which failed."""
_EVENT_LIMIT = 16_384
_DELTA = (b"event: contentBlockDelta\n", b'event: chunk\ndata: {"contentBlockDelta"')
_KINDS = frozenset({b"contentBlockStart", b"contentBlockDelta", b"messageStop", b"metadata"})
_NESTED = re.compile(rb'\s*\{\s*"(contentBlockStart|contentBlockDelta|messageStop|metadata)"\s*:')
_VISIBLE = re.compile(rb'"text"\s*:\s*"[^"]|"toolUse"')
_HIDDEN = b'"reasoningContent"'


def named_events(block: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Yield (type, data) of each event in a block."""
    for event in block.split(b"\n\n"):
        name = event[7 : event.find(b"\n")] if event.startswith(b"event: ") else b""
        for data in each_event(event):
            yield name, data


class BedrockConverse:
    """Read answers of Converse; a stream tells its usage in the `metadata` at its end."""

    def __init__(self, match: Match, headers: Mapping[str, str]) -> None:
        self.first_token = False
        self.first_completion = False
        self._tools = Kept(49_152)
        self._arguments = Kept(49_152)
        self._stop: bytes | None = None
        self._metadata: bytes | None = None
        self._error: tuple[bytes, bytes] | None = None

    def see(self, block: bytes) -> bool:
        """Keep what matters of the events in `block`; True at the metadata or an exception."""
        if not self.first_completion:
            self._time(block)
        if block.startswith(_DELTA) and block.rfind(b'"toolUse"') < 0 and block.find(b"\n\n") == len(block) - 2:
            return False  # one event, with words in it
        ended = False
        for name, event in named_events(block):
            ended |= self._keep(name, event)
        return ended

    def _time(self, block: bytes) -> None:
        if _HIDDEN in block:
            self.first_token = True  # the text in it is a thought
        elif _VISIBLE.search(block):
            self.first_completion = self.first_token = True

    def _keep(self, name: bytes, event: bytes) -> bool:
        if name not in _KINDS and (nested := _NESTED.match(event)):
            name = nested[1]
        if name == b"contentBlockStart":
            if b'"toolUse"' in event:
                self._tools.add(shorten(event, _EVENT_LIMIT))
        elif name == b"contentBlockDelta":
            if b'"toolUse"' in event:
                self._arguments.add(shorten(event, _EVENT_LIMIT))
        elif name == b"messageStop":
            self._stop = shorten(event, _EVENT_LIMIT)
        elif name == b"metadata":
            self._metadata = shorten(event, EVENT_LIMIT)
            return True
        elif EXCEPTION.match(name):
            self._error = name, shorten(event, _EVENT_LIMIT)
            return True
        return False

    def streamed(self) -> Answer:
        """Return the facts of the events kept."""
        stop, told = _event(self._stop, "messageStop"), _event(self._metadata, "metadata")
        code, message = None, None
        if self._error is not None:
            code, message = self._error[0].decode("ascii", "replace"), error_of(_event(self._error[1], ""))[1]
        answer = {**told, "stopReason": stop.get("stopReason")}
        return _answer(answer, self._calls(), self._notes(bool(told)), code, message)

    def _notes(self, told: bool) -> dict[str, str]:
        if told:
            return without_usage("provider sent no usage")
        if self._error is not None:
            return without_usage("error inside the stream")
        return without_usage("stream ended before usage")

    def _calls(self) -> list[tuple[str, object]]:
        parts: dict[int, list[str]] = {}
        for raw in self._arguments.events:
            event = _event(raw, "contentBlockDelta")
            fragment = mapping(mapping(event.get("delta")).get("toolUse")).get("input")
            parts.setdefault(count(event.get("contentBlockIndex")) or 0, []).append(text(fragment, _EVENT_LIMIT) or "")
        found: list[tuple[str, object]] = []
        for raw in self._tools.events:
            event = _event(raw, "contentBlockStart")
            arguments = "".join(parts.get(count(event.get("contentBlockIndex")) or 0, ()))
            for name, _ in _called([mapping(event.get("start"))]):
                found.append((name, None if self._arguments.lost else arguments))
        return found

    def whole(self, body: dict[str, Any]) -> Answer:
        """Return the facts of an answer in one body."""
        message = mapping(mapping(body.get("output")).get("message"))
        return _answer(body, _called(rows(message.get("content"))), without_usage("provider sent no usage"))


def _event(event: bytes | None, kind: str) -> dict[str, Any]:
    """Return an event's members, also where they are nested below its kind."""
    if event is None:
        return {}
    told = loads(event) or carve(event)
    return mapping(told.get(kind)) or told


def _called(content: list[dict[str, Any]]) -> list[tuple[str, object]]:
    """Return (name, arguments) of the app's tools; those that Bedrock runs itself say so in their type."""
    tools = [tool for block in content if (tool := mapping(block.get("toolUse")))]
    return [
        (name, tool.get("input"))
        for tool in tools
        if tool.get("type") != "server_tool_use" and (name := text(tool.get("name")))
    ]


def _answer(
    told: dict[str, Any],
    called: list[tuple[str, object]],
    without: dict[str, str],
    code: str | None = None,
    message: str | None = None,
) -> Answer:
    """Return the answer; `without` are the notes that it gets where there is no usage."""
    trace, reason = mapping(told.get("trace")), told.get("stopReason")
    usage = with_counts(usage_from(told.get("usage")), guardrail_counts(trace.get("guardrail")))
    notes = without if usage is None else {PARTIAL: "error inside the stream"} if code else {}
    return Answer(
        usage=usage,
        model=text(mapping(trace.get("promptRouter")).get("invokedModelId")),
        finish_reason=text(reason),
        function_calls=calls(called),
        error_code=code,
        error_message=message,
        service_tier=text(mapping(told.get("serviceTier")).get("type")),
        notes={**notes, **intervention(reason)},
    )
