"""One exchange, from raw transport bytes to an `Answer`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Protocol

from .answer import MISSING, Answer
from .decoding import Decode, UndecodableError, decoder_for
from .echo import Echo
from .family import Family, failed, without_usage
from .framing import Frames, frames_of, is_opaque, is_stream
from .json_objects import JsonObjects
from .match import Match
from .values import carve, loads, loads_first, text
from .wire import ELEMENT, Body, Events, each_element
from .wiring import Format

__all__ = ["MOST_HELD", "AnyReader", "Reader"]

_PIECE = 32_768
MOST_HELD = 262_144
_ARRAY_LIMIT = 131_072
_SNIFF_LIMIT = 4_096
_STRUCTURED = (b"{", b"[", b"<")
_NO_EVENTS = Events()


class Reader(Protocol):
    """Read one exchange; `feed` is called on the app's thread, `finish` on any other once no more is fed."""

    @property
    def first_token(self) -> bool:
        """Whether a stream's first token of any kind, reasoning included, was seen."""

    @property
    def first_completion(self) -> bool:
        """Whether a stream's first token of the visible answer was seen."""

    @property
    def keeps(self) -> bool:
        """Whether it has only kept what has come, so that none of these is known yet."""

    @property
    def streams(self) -> bool:
        """Whether the answer comes as events, which the app uses while they come."""

    @property
    def learns(self) -> bool:
        """Whether it knows what events look like that say nothing, now that the first words have come."""

    @property
    def says_nothing(self) -> Callable[[bytes], bool] | None:
        """What tells whether the next piece says nothing, which then need not be fed; None where it has to be.

        It holds for the pieces up to the first one that is fed, and may be asked when no more is fed, too.
        """

    def feed(self, chunk: bytes) -> bool:
        """Take the next raw bytes; return True once, when the terminal event was among them. Never raises."""

    def kept(self) -> tuple[Mapping[str, str], bytes] | None:
        """Return the headers and the body from which another reader would read the same, once no more is fed.

        None where this is not to be had without reading: of a stream, only what matters is kept, and of an answer that
        repeats what was asked, only what it tells may be.
        """

    def finish(self) -> Answer:
        """Return what the exchange told. Never raises."""


class AnyReader:
    """Decode, tell a stream from a JSON body by its first byte, and hand events to the family as they come.

    A compressed JSON body stays compressed until `finish`, so that the app's thread does not pay for inflating it. For
    its sake, too, the chunks of an array are only looked at once 128 KiB of them have come, after its first words.
    """

    keeps = False

    __slots__ = (
        "_body", "_broken", "_content_type", "_decode", "_echo", "_encoding", "_ended", "_error_type", "_events",
        "_family", "_fetched", "_frames", "_framing", "_headers", "_held", "_hot", "_listed", "_most_held", "_opaque",
        "_raw", "_repeats", "_sniffed", "_start", "_status", "_steady", "_told_by", "first_completion", "first_token",
    )  # fmt: skip

    def __init__(self, reading: Format, match: Match, status: int, headers: Mapping[str, str]) -> None:
        self.first_token = False
        self.first_completion = False
        self._family: Family = reading.family(match, headers)
        self._framing = reading.framing
        self._fetched = reading.fetched
        self._told_by = reading.headers
        self._repeats = reading.repeats
        self._headers = headers
        self._content_type = (headers.get("content-type") or "").lower()
        self._opaque = is_opaque(self._content_type)
        self._status = status
        self._error_type = headers.get("x-amzn-errortype") or ""
        self._body = Body()
        self._frames: Frames | None = None  # of a stream
        self._sniffed = False
        self._listed = False
        self._echo: Echo | None = None  # of a family that learns which events say nothing
        self._events = _NO_EVENTS
        self._steady = False  # nothing remains to be done with events but to show them to the family
        self._start = b""
        self._ended = False
        self._broken: str | None = None
        self._encoding = headers.get("content-encoding") or ""
        self._hot: Frames | None = None  # of a stream that nothing has to be decoded of
        self._raw: list[bytes] | None = None
        self._held = 0
        self._most_held = MOST_HELD
        self._decode: Decode | None = None
        try:
            self._decode = decoder_for(self._encoding)
        except UndecodableError as exc:
            self._broken = str(exc)
        if self._decode is not None and not is_stream(self._content_type):
            self._raw = []

    @property
    def streams(self) -> bool:
        """Whether the answer comes as events."""
        return self._frames is not None or is_stream(self._content_type)

    @property
    def learns(self) -> bool:
        """Whether it knows what events look like that say nothing, now that the first words have come."""
        return self._echo is not None

    @property
    def says_nothing(self) -> Callable[[bytes], bool] | None:
        """What tells whether the next piece says nothing: nearly every piece of a chat's stream is such a one."""
        echo = self._echo
        return echo.fits if echo is not None and self._hot is not None and self._events.between else None

    def feed(self, chunk: bytes) -> bool:
        """Take the next raw bytes; True once, at the terminal event."""
        try:
            hot = self._hot
            if hot is None or len(chunk) > _PIECE:
                return self._feed(chunk)
            echo = self._echo
            if echo is not None and self._events.between and echo.fits(chunk):
                return False  # nearly every piece of a chat's stream ends here
            block = hot.feed(chunk)
            if not block:
                return False
            if self._steady:
                return self._family.see(block) and self._end()
            return self._see(block)
        except UndecodableError as exc:
            self._fail(str(exc))
            return False
        except Exception as exc:  # noqa: BLE001 - the app's own stream must go on whatever we fail at
            self._fail(f"{type(exc).__name__} in the parser")
            return False

    def kept(self) -> tuple[Mapping[str, str], bytes] | None:
        """Return the headers and the body that tell all; None of a stream, or of what repeats the prompt."""
        if self._frames is not None or self._broken or self._repeats:
            return None
        headers = {"content-type": self._content_type}
        if self._error_type:
            headers["x-amzn-errortype"] = self._error_type
        for name in self._told_by:
            if value := self._headers.get(name):
                headers[name] = value
        if self._raw is None:
            return headers, self._start + self._body.content()
        headers["content-encoding"] = self._encoding
        return headers, b"".join(self._raw)

    def finish(self) -> Answer:
        """Return what the exchange told."""
        try:
            return self._finish()
        except Exception as exc:  # noqa: BLE001 - a report without usage beats none
            return Answer(notes=without_usage(f"{type(exc).__name__} in the parser"))

    def _fail(self, reason: str) -> None:
        self._broken = self._broken or reason
        self._hot = None
        self._raw = None

    def _feed(self, chunk: bytes) -> bool:
        if self._broken or self._opaque or not chunk:
            return False
        if self._raw is None:
            return self._decoded(chunk)
        self._raw.append(chunk)
        self._held += len(chunk) + 64
        return self._held > self._most_held and self._look_back()

    def _look_back(self) -> bool:
        """Look at what was held back, and decode from here on what comes; the elements of an array are held again."""
        raw, self._raw = self._raw or [], None
        frames = self._frames if self._decode is None else None
        ended = False
        for chunk in raw:
            if frames is None or len(chunk) > _PIECE:
                ended |= self._decoded(chunk)
            elif block := frames.feed(chunk):
                ended |= self._see(block)
        if self._listed and self._steady and not self._broken:
            self._hold()
        return ended

    def _hold(self) -> None:
        """Hold the chunks of an array back: none of its elements is its end, so that nothing is missed meanwhile."""
        self._hot = None
        self._raw, self._held, self._most_held = [], 0, _ARRAY_LIMIT

    def _decoded(self, chunk: bytes) -> bool:
        ended = False
        try:
            for piece in (chunk,) if self._decode is None else self._decode(chunk):
                ended |= self._take(piece)
        except UndecodableError as exc:
            self._fail(str(exc))
        return ended

    def _take(self, piece: bytes) -> bool:
        if not self._sniffed:
            piece = self._sniff(piece)
        frames = self._frames
        if frames is None:
            if piece and not self._opaque:
                self._body.append(piece)
            return False
        ended = False
        for start in range(0, len(piece), _PIECE):
            block = frames.feed(piece[start : start + _PIECE])
            ended |= bool(block) and self._see(block)
        return ended

    def _sniff(self, piece: bytes) -> bytes:
        """Decide by the first byte that is not white space; return what may be read now."""
        seen = self._start + piece
        first = seen.lstrip()[:1]
        if not first and len(seen) < _SNIFF_LIMIT:
            self._start = seen
            return b""
        self._start = b""
        self._sniffed = True
        self._frames = frames_of(first, self._content_type, self._framing)
        self._listed = first == b"["
        self._opaque |= self._framing == "lines" and self._frames is None and self._status < 400
        if self._decode is None:
            self._hot = self._frames
        return seen

    def _see(self, block: bytes) -> bool:
        family = self._family
        if self._listed and block.rfind(b"\r") > len(ELEMENT):
            ended = False
            for element in each_element(block):  # Gemini, whose every event counts, takes them up faster one by one
                ended |= family.see(element)
        else:
            ended = family.see(block)
        if not self.first_completion:
            self.first_token, self.first_completion = family.first_token, family.first_completion
            self._steady = self.first_completion
            if self._steady and isinstance(self._hot, Events):
                self._events, self._echo = self._hot, getattr(family, "echo", None)
            if self._steady and self._listed and self._hot is not None:
                self._hold()
        return ended and self._end()

    def _end(self) -> bool:
        """Return whether this is the first end that was seen."""
        first, self._ended = not self._ended, True
        return first

    def _finish(self) -> Answer:
        if self._raw is not None:
            self._look_back()
        answer = self._from_body() if self._frames is None else self._from_stream(self._frames)
        answer = judged(answer, self._status)
        if self._broken and answer.usage is None:
            return replace(answer, notes={**answer.notes, MISSING: self._broken})
        return answer

    def _from_stream(self, frames: Frames) -> Answer:
        if rest := frames.rest():
            self._family.see(rest)
        return self._family.streamed()

    def _from_body(self) -> Answer:
        content = self._body.content().removeprefix(b"\xef\xbb\xbf")
        parsed = loads(content)
        if self._status >= 400:
            answer = failed(loads_first(content) or {"message": _plain(content)}, self._error_type)
            return replace(answer, inference=not self._fetched)
        if parsed is None and self._framing == "objects" and content[:1] == b"{":
            return self._from_lines(content)
        answer = self._family.whole(parsed or carve(content))
        if parsed is not None or answer.usage is not None or self._opaque:
            return answer
        if not content:
            return replace(answer, notes=without_usage("empty answer"))
        # Any other text is what was asked for, such as a transcription's.
        garbled = content.lstrip()[:1] in _STRUCTURED
        return replace(answer, notes=without_usage("answer not understood")) if garbled else answer

    def _from_lines(self, content: bytes) -> Answer:
        """Read a stream of objects that was sent as if it were one."""
        frames = JsonObjects()
        for start in range(0, len(content), _PIECE):
            if block := frames.feed(content[start : start + _PIECE]):
                self._family.see(block)
        return self._from_stream(frames)


def judged(answer: Answer, status: int) -> Answer:
    """Return an answer whose error has a code: one without is a failure all the same."""
    failed = answer.error_message and not answer.error_code and status < 400
    return replace(answer, error_code="error") if failed else answer


def _plain(content: bytes) -> str | None:
    """Return an error's plain text; a proxy's HTML page tells nobody anything."""
    start = content[:2048].decode("utf-8", "replace").strip()
    return None if start.startswith("<") else text(start, 500)
