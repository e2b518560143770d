"""Taking Pay-i's result out of a stream, which passes on as it comes.

An event is held until it is complete, as whoever reads events does anyway. What is whole events without a result, as
nearly every chunk is, passes as the object that it came as.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, Protocol

from payi_middleware.providers.decoding import Decode

from .frames import whole_frames
from .frames import without_result as frame_without_result
from .members import RESULT, last, members_of, without

__all__ = ["EventSieve", "FrameSieve", "Sieve", "Take"]

_MARK = f'"{RESULT}":'.encode()
_SEPARATORS = (b"\n\n", b"\r\n\r\n", b"\r\r")
_EVENT = re.compile(rb".*?(?:\r\n\r\n|\n\n|\r\r|\Z)", re.DOTALL)
_LINE = re.compile(rb"[^\r\n]*")
_LONGEST = 4 * 1024 * 1024
"""Bytes of an event that is held until it is complete; a longer one is passed on as it comes."""

Take = Callable[[Any], None]
"""Is given Pay-i's result, as it was parsed."""


class Sieve(Protocol):
    """Takes something out of a body that passes on."""

    @property
    def decodes(self) -> bool:
        """Whether the app gets the body without its encoding."""

    @property
    def idle(self) -> bool:
        """Whether nothing is held back, so that events that have nothing to be taken out need not come by here."""

    def pass_on(self, chunk: bytes) -> bytes:
        """Take the next bytes, and return those that the app gets now.

        Raises:
            UndecodableError: the bytes are not what their encoding asks for.
        """

    def rest(self) -> bytes:
        """Return what was held back when the body has ended."""


class _Sieve:
    def __init__(self, take: Take, decode: Decode | None = None, *, keep: bool = False) -> None:
        self._take = take
        self._decode = decode
        self._keep = keep
        self._held = bytearray()

    @property
    def decodes(self) -> bool:
        """Whether the app gets the body without its encoding."""
        return self._decode is not None

    @property
    def idle(self) -> bool:
        """Whether nothing is held back, so that events that have nothing to be taken out need not come by here."""
        return self._decode is None and not self._held

    def pass_on(self, chunk: bytes) -> bytes:
        """Take the next bytes, and return those that the app gets now."""
        if self._decode is None:
            return self._pass_on(chunk)
        return b"".join([self._pass_on(piece) for piece in self._decode(chunk)])

    def rest(self) -> bytes:
        """Return what was held back when the body has ended."""
        rest, self._held = bytes(self._held), bytearray()
        return self._without(rest) if rest else rest

    def _pass_on(self, chunk: bytes) -> bytes:
        raise NotImplementedError

    def _without(self, events: bytes) -> bytes:
        raise NotImplementedError


class EventSieve(_Sieve):
    """Takes the result out of server-sent events.

    Args:
        take: is given the result.
        decode: undoes the encoding that the bytes come in, if they do.
        keep: the app wants it to stay.
    """

    def _pass_on(self, chunk: bytes) -> bytes:
        held = self._held
        if not held and chunk.endswith(_SEPARATORS) and _MARK not in chunk:
            return chunk
        searched = max(0, len(held) - 3)
        held += chunk
        ends = [place + len(each) for each in _SEPARATORS if (place := held.rfind(each, searched)) >= 0]
        end = max(ends) if ends else len(held) if len(held) > _LONGEST else 0
        ready = bytes(held[:end])
        del held[:end]
        return self._without(ready) if _MARK in ready else ready

    def _without(self, events: bytes) -> bytes:
        if _MARK not in events:
            return events
        passed = [self._without_result(event) for event in _EVENT.findall(events)]
        return events if self._keep else b"".join(passed)

    def _without_result(self, event: bytes) -> bytes:
        for line in _LINE.finditer(event):
            if _MARK in line[0]:
                start = line[0].find(b"{")
                if line[0].startswith(b":"):
                    self._object(line[0][start:])
                    return b""
                if line[0].startswith(b"data:"):
                    cleaned = line[0][:start] + self._object(line[0][start:])
                    return event[: line.start()] + cleaned + event[line.end() :]
        return event

    def _object(self, data: bytes) -> bytes:
        """Return an object without the result in it, and without that in the `response` in it."""
        try:
            text = data.decode()
        except UnicodeDecodeError:
            return data
        members = members_of(text) or []
        if (result := last(members, RESULT)) is not None:
            self._take(result.value)
            text = without(text, members, [result])
            members = members_of(text) or []
        if (inside := last(members, "response")) is not None:
            nested = members_of(text, inside.value_at) or []
            if first := next((member for member in nested if member.name == RESULT), None):
                self._take(first.value)
                text = without(text, nested, [first])
        return text.encode()


class FrameSieve(_Sieve):
    """Takes the result out of the messages of Amazon's event stream; see `EventSieve`."""

    _over = False

    def _pass_on(self, chunk: bytes) -> bytes:
        if self._over:
            return chunk
        if not self._held:
            end, marked = whole_frames(chunk)
            if end == len(chunk) and not marked:
                return chunk
        self._held += chunk
        ready = bytes(self._held)
        end, _ = whole_frames(ready)
        if end is None or len(ready) - end > _LONGEST:  # this is none, or none that can be waited for
            self._over = True
            end = len(ready)
        self._held = bytearray(ready[end:])
        return self._without(ready[:end])

    def _without(self, events: bytes) -> bytes:
        return frame_without_result(events, self._take, keep=self._keep)
