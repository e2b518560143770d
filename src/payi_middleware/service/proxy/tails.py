"""Passing a stream on while it comes, but for its end, which is held back until the result for it is there.

Which chunk is the last, into which the result goes:

- chat completions end in `[DONE]`, which is no JSON: it is the chunk before, which has the finish reason or, where the
  caller asked for it, the usage;
- responses: the event that ends them (`response.completed` and its like), and the response in it, which is all that the
  SDK's stream helper returns;
- assistants' runs end in `[DONE]`, too: the event that ends the run;
- messages: `message_stop`, and the `message_delta` before, since the SDK's stream helper makes a `message_stop` anew;
- Amazon's event streams: the message with the usage or Bedrock's metrics, or the exception that ends them.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Protocol

from payi_middleware.stream_usage import is_extra

from .splicing import added_to_event, added_to_frame, added_to_object

__all__ = ["BodyTail", "EventTail", "FrameTail", "Tail"]

_SEPARATOR = re.compile(rb"\r\n\r\n|\n\n|\r\r")
_LONGEST = 1024 * 1024
"""Bytes of an event that is held until it is complete; a longer one is passed on as it comes."""
_KEPT_BACK = 1024
_MOST_HELD = 64
_SHORTEST = 16
"""Bytes of an empty message of Amazon's event stream."""

_FINISHED = re.compile(rb'"finish_reason"\s*:\s*"[^"]')
_WORDS = re.compile(rb'"(?:content|reasoning_content|reasoning|text|refusal)"\s*:\s*"[^"]|"tool_calls"\s*:\s*\[\s*\{')
_DELTA = re.compile(rb'"type"\s*:\s*"message_delta"')
_RUN = re.compile(
    rb"^event: ?thread\.run\.(?:completed|incomplete|failed|cancelled|expired|requires_action)\s*$", re.MULTILINE
)
_RESPONSE = re.compile(rb'"response"\s*:\s*\{')
_CHATS = frozenset({"openai.chat", "openai.completions"})
_NOTHING = re.compile(rb"(?!)")
_CANDIDATES = {
    "openai.chat": _FINISHED,
    "openai.completions": _FINISHED,
    "openai.assistants.run": _RUN,
    "anthropic.messages": _DELTA,
}

See = Callable[[bytes], bool]
"""Reads a piece of the stream; returns True if the provider's last event was in it."""


class Tail(Protocol):
    """Pass a body on, but for its end."""

    @property
    def due(self) -> bool:
        """Whether the provider's last event is there, so that the result can be had; `finish` comes next."""

    def feed(self, chunk: bytes) -> bytes:
        """Take the next bytes, and return those that the caller gets now."""

    def end(self) -> None:
        """Note that the body is over, so that the result can be had; `finish` comes next."""

    def finish(self, added: bytes | None) -> bytes:
        """Return what was held back, with members added to the last chunk if there are any; later bytes just pass."""


class EventTail:
    """Pass server-sent events on.

    Args:
        api: the wire format.
        see: reads the events.
        take_out: the caller did not ask for the chunk with the usage, and does not get it.
    """

    def __init__(self, api: str, see: See, *, take_out: bool = False) -> None:
        self.due = False
        self._see = see
        self._take_out = take_out
        self._chat = api in _CHATS
        self._candidate = _CANDIDATES.get(api, _NOTHING)
        self._inside = _RESPONSE if api.startswith("openai.responses") else None
        self._finished = False
        self._pending = bytearray()
        self._searched = 0
        self._cut = False  # the beginning of the pending event has been passed on
        self._held: list[bytes] = []
        self._over = False

    def feed(self, chunk: bytes) -> bytes:
        """Take the next bytes, and return those that the caller gets now."""
        if self._over:
            return chunk
        self._pending += chunk
        if self.due:
            return b""
        passed: list[bytes] = []
        start = 0
        for separator in _SEPARATOR.finditer(self._pending, self._searched):
            event = bytes(self._pending[start : separator.end()])
            start = separator.end()
            self._take(event, passed)
            if self.due:
                break
        del self._pending[:start]
        self._searched = max(0, len(self._pending) - 3)
        if len(self._pending) > _LONGEST and not self.due:
            self._pass_beginning(passed)
        return b"".join(passed)

    def _take(self, event: bytes, passed: list[bytes]) -> None:
        ended = self._see(event)
        cut, self._cut = self._cut, False
        if ended:
            self._held.append(event)
            self.due = True
            return
        if self._take_out and is_extra(event):
            self._take_out = False
            return
        if self._held and b"data" not in event and len(self._held) < _MOST_HELD:
            self._held.append(event)  # a comment that keeps the connection alive
            return
        passed += self._held
        self._held.clear()
        (self._held if not cut and self._may_be_last(event) else passed).append(event)

    def _may_be_last(self, event: bytes) -> bool:
        if self._candidate.search(event) is not None:
            self._finished = True
            return True
        if not self._chat:
            return False
        return is_extra(event) or (self._finished and _WORDS.search(event) is None)

    def _pass_beginning(self, passed: list[bytes]) -> None:
        """Pass a very long event on as it comes, but for its last bytes."""
        passed += self._held
        self._held.clear()
        beginning = bytes(self._pending[:-_KEPT_BACK])
        del self._pending[:-_KEPT_BACK]
        self._searched = _KEPT_BACK - 3
        self._see(beginning)
        self._cut = True
        passed.append(beginning)

    def end(self) -> None:
        """Note that the stream is over, maybe without the blank line that ends an event."""
        if self._pending and not self.due:
            rest = bytes(self._pending)
            self._pending.clear()
            self._see(rest)
            if not (self._take_out and is_extra(rest)):
                self._held.append(rest)

    def finish(self, added: bytes | None) -> bytes:
        """Return what was held back, with members added to the last chunk."""
        self._over = True
        rest = bytes(self._pending)
        self._pending.clear()
        held, self._held = self._held, []
        if added is None:
            return b"".join([*held, rest])
        written = self._written(held, added)
        if written == held and not self._cut:
            # No chunk to put it into: a comment, which every reader of such streams leaves out.
            written.insert(0, b": {" + added + b"}\n\n")
        return b"".join([*written, rest])

    def _written(self, held: list[bytes], added: bytes) -> list[bytes]:
        """Return events with members added: to the last chunk of a chat, or to each event of the others."""
        written = list(held)
        for place in reversed(range(len(held))):
            written[place] = added_to_event(held[place], added, self._inside)
            if self._chat and written[place] != held[place]:
                break
        return written


class FrameTail:
    """Pass the messages of Amazon's event stream on.

    Args:
        see: reads the messages.
    """

    def __init__(self, see: See) -> None:
        self.due = False
        self._see = see
        self._pending = bytearray()
        self._last = b""
        self._passing = 0  # bytes still to come of a message that is passed on as it comes
        self._over = False

    def feed(self, chunk: bytes) -> bytes:
        """Take the next bytes, and return those that the caller gets now."""
        if self._over:
            return chunk
        self._pending += chunk
        passed = bytearray()
        while self._pending and not self.due:
            if self._passing:
                piece = bytes(self._pending[: self._passing])
                self._passing -= len(piece)
                self._see(piece)
            elif message := self._message():
                piece = message
                if self._see(message):
                    self.due = True
                    self._last = message
            elif self._passing:
                continue
            else:
                break
            del self._pending[: len(piece)]
            if not self.due:
                passed += piece
        return bytes(passed)

    def _message(self) -> bytes:
        """Return the next message if it is complete, and nothing if it is not, or if it is too long to be held."""
        if len(self._pending) < _SHORTEST:
            return b""
        size = int.from_bytes(self._pending[:4])
        if not _SHORTEST <= size <= _LONGEST:
            self._passing = size if size >= _SHORTEST else len(self._pending)
            return b""
        return bytes(self._pending[:size]) if len(self._pending) >= size else b""

    def end(self) -> None:
        """Note that the stream is over, maybe in the middle of a message."""
        if self._pending and not self.due:
            self._see(bytes(self._pending))

    def finish(self, added: bytes | None) -> bytes:
        """Return what was held back, with members added to the last message."""
        self._over = True
        rest = bytes(self._pending)
        self._pending.clear()
        last = added_to_frame(self._last, added) if added and self._last else self._last
        return last + rest


class BodyTail:
    """Pass a long JSON body on, but for the brace that ends it.

    Args:
        see: reads the body.
        start: the beginning of the body, which has been read.
    """

    due = False  # only the end of the body tells that it is over

    def __init__(self, see: See, start: bytes) -> None:
        self._see = see
        self._held = start

    def feed(self, chunk: bytes) -> bytes:
        """Take the next bytes, and return those that the caller gets now."""
        self._see(chunk)
        body = self._held + chunk
        end = len(body.rstrip(b" \t\r\n}"))
        end = max(end, len(body) - _KEPT_BACK, 0)
        self._held = body[end:]
        return body[:end]

    def end(self) -> None:
        """Note that the body is over."""

    def finish(self, added: bytes | None) -> bytes:
        """Return the end, with members added."""
        held, self._held = self._held, b""
        return held if added is None else added_to_object(held, added)
