"""An answer that comes whole: kept as it comes, and read once it is there, on whichever thread asks for it."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from .answer import Answer
from .framing import comes_whole
from .match import Match
from .reader import MOST_HELD, AnyReader, judged
from .values import loads
from .wiring import Format

__all__ = ["Whole", "read_plainly"]

_OPENING = (b"{", b"[")
_FAILED = 400


def read_plainly(reading: Format, match: Match, status: int, headers: Mapping[str, str], body: bytes) -> Answer | None:
    """Return what one JSON object tells, as nearly all answers are one; None where it takes more to find out."""
    if status >= _FAILED or "content-encoding" in headers:
        return None
    try:
        told = loads(body)
        return None if told is None else judged(reading.family(match, headers).whole(told), status)
    except Exception:  # noqa: BLE001 - the other reader meets the same error, and says so
        return None


class Whole:
    """Keep what comes as long as its first byte agrees with its content type, so that the app's thread does no more.

    Where it does not, or where more comes than may be held, any other reader takes over with all that has come.
    """

    __slots__ = (
        "_chunk",
        "_headers",
        "_held",
        "_inner",
        "_match",
        "_more",
        "_reading",
        "_status",
        "keeps",
    )

    def __init__(self, reading: Format, match: Match, status: int, headers: Mapping[str, str]) -> None:
        self._reading = reading
        self._match = match
        self._status = status
        self._headers = headers
        self._chunk = b""
        self._more: list[bytes] | None = None  # most come in one piece, and a list is looked through for references
        self._inner: AnyReader | None = None
        self.keeps = True

    @property
    def _encoded(self) -> bool:
        return "content-encoding" in self._headers

    @property
    def first_token(self) -> bool:
        """Whether its first token was seen, if it came as events."""
        return self._inner is not None and self._inner.first_token

    @property
    def first_completion(self) -> bool:
        """Whether the first token of its visible answer was seen, if it came as events."""
        return self._inner is not None and self._inner.first_completion

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
        if self._chunk:
            if not chunk:
                return False
            if self._more is None:
                self._more, self._held = [], len(self._chunk) + 64
            self._more.append(chunk)
            self._held += len(chunk) + 64
            if self._held <= MOST_HELD:
                return False
        elif self._inner is not None:
            return self._inner.feed(chunk)
        else:
            self._chunk = chunk
            if not chunk or (
                len(chunk) < MOST_HELD and (chunk.startswith(b"{") or self._encoded or self._begins_whole(chunk))
            ):
                return False
        return self._hand_over()

    def _begins_whole(self, chunk: bytes) -> bool:
        first = chunk[:1]
        return comes_whole(first if first in _OPENING else chunk.lstrip()[:1], self._reading.framing)

    def _hand_over(self) -> bool:
        self._inner = inner = AnyReader(self._reading, self._match, self._status, self._headers)
        self.keeps = ended = False
        for chunk in (self._chunk, *(self._more or ())):
            ended |= inner.feed(chunk)
        self._chunk, self._more = b"", None
        return ended

    def _body(self) -> bytes:
        return b"".join((self._chunk, *(self._more or ())))

    def kept(self) -> tuple[Mapping[str, str], bytes] | None:
        """Return the headers and the body that tell all; None of what repeats the prompt."""
        if self._inner is not None:
            return self._inner.kept()
        if self._reading.repeats:
            return None
        return self._headers, self._chunk if self._more is None else self._body()

    def finish(self) -> Answer:
        """Return what the exchange told."""
        if self._inner is None:
            if (
                answer := read_plainly(self._reading, self._match, self._status, self._headers, self._body())
            ) is not None:
                return answer
            self._hand_over()
        assert self._inner is not None
        return self._inner.finish()
