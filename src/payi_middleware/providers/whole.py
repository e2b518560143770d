"""An answer that comes whole: kept as it comes, and read once it is there, on whichever thread asks for it."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from .answer import Answer
from .framing import comes_whole
from .match import Match
from .reader import MOST_HELD, AnyReader, judged
from .values import loads
from .wiring import Format

__all__ = ["Whole"]

_OPENING = (b"{", b"[")
_FAILED = 400


class Whole:
    """Keep what comes as long as its first byte agrees with its content type, so that the app's thread does no more.

    Where it does not, or where more comes than may be held, any other reader takes over with all that has come.
    """

    __slots__ = (
        "_chunk",
        "_encoded",
        "_headers",
        "_held",
        "_inner",
        "_match",
        "_more",
        "_reading",
        "_status",
        "first_completion",
        "first_token",
    )

    def __init__(self, reading: Format, match: Match, status: int, headers: Mapping[str, str]) -> None:
        self._reading = reading
        self._match = match
        self._status = status
        self._headers = headers
        self._encoded = "content-encoding" in headers
        self._chunk = b""
        self._more: list[bytes] | None = None  # most come in one piece, and a list is looked through for references
        self._held = 0
        self._inner: AnyReader | None = None
        self.first_token = False
        self.first_completion = False

    @property
    def streams(self) -> bool:
        """Whether it came as events after all."""
        return self._inner is not None and self._inner.streams

    @property
    def learns(self) -> bool:
        """Whether it came as events of which some say nothing."""
        return self._inner is not None and self._inner.learns

    @property
    def says_nothing(self) -> Callable[[bytes], bool] | None:
        """What tells whether the next piece says nothing, if it came as events."""
        return None if self._inner is None else self._inner.says_nothing

    def feed(self, chunk: bytes) -> bool:
        """Take the next raw bytes; True once, at the terminal event of what is a stream after all."""
        if self._inner is not None:
            return self._pass_on(self._inner, chunk)
        if not chunk:
            return False
        first = not self._chunk
        if first:
            self._chunk = chunk
        elif self._more is None:
            self._more = [chunk]
        else:
            self._more.append(chunk)
        self._held += len(chunk) + 64
        if self._held <= MOST_HELD and (
            not first or self._encoded or chunk.startswith(b"{") or self._begins_whole(chunk)
        ):
            return False
        self._inner = inner = AnyReader(self._reading, self._match, self._status, self._headers)
        return self._hand_over(inner)

    def _begins_whole(self, chunk: bytes) -> bool:
        first = chunk[:1]
        return comes_whole(first if first in _OPENING else chunk.lstrip()[:1], self._reading.framing)

    def _hand_over(self, inner: AnyReader) -> bool:
        ended = False
        for chunk in (self._chunk, *(self._more or ())):
            ended |= self._pass_on(inner, chunk)
        self._chunk, self._more = b"", None
        return ended

    def _pass_on(self, inner: AnyReader, chunk: bytes) -> bool:
        ended = inner.feed(chunk)
        self.first_token, self.first_completion = inner.first_token, inner.first_completion
        return ended

    def _body(self) -> bytes:
        return self._chunk if self._more is None else b"".join((self._chunk, *self._more))

    def kept(self) -> tuple[Mapping[str, str], bytes] | None:
        """Return the headers and the body that tell all; None of what repeats the prompt."""
        if self._inner is not None:
            return self._inner.kept()
        return None if self._reading.repeats else (self._headers, self._body())

    def _plainly(self) -> Answer | None:
        """Return what one JSON object tells, as nearly all answers are one; None where it takes more to find out."""
        if self._encoded or self._status >= _FAILED:
            return None
        try:
            told = loads(self._body())
            if told is None:
                return None
            return judged(self._reading.family(self._match, self._headers).whole(told), self._status)
        except Exception:  # noqa: BLE001 - the other reader meets the same error, and says so
            return None

    def finish(self) -> Answer:
        """Return what the exchange told."""
        inner = self._inner
        if inner is None:
            if (answer := self._plainly()) is not None:
                return answer
            self._inner = inner = AnyReader(self._reading, self._match, self._status, self._headers)
            self._hand_over(inner)
        return inner.finish()
