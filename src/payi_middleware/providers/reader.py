"""One exchange, from raw transport bytes to an `Answer`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Protocol

from .answer import MISSING, Answer
from .decoding import Decode, UndecodableError, decoder_for
from .family import Family, failed, without_usage
from .framing import Frames, frames_of, is_opaque, is_stream
from .json_objects import JsonObjects
from .match import Match
from .registry import FORMATS
from .values import carve, loads, text
from .wire import Body
from .wiring import Format

__all__ = ["Reader", "open_reader"]

_PIECE = 32_768
_RAW_LIMIT = 262_144
_SNIFF_LIMIT = 4_096
_STRUCTURED = (b"{", b"[", b"<")


class Reader(Protocol):
    """Read one exchange; `feed` is called on the app's thread, `finish` on any other once no more is fed."""

    @property
    def first_token(self) -> bool:
        """Whether a stream's first token of any kind, reasoning included, was seen."""

    @property
    def first_completion(self) -> bool:
        """Whether a stream's first token of the visible answer was seen."""

    def feed(self, chunk: bytes) -> bool:
        """Take the next raw bytes; return True once, when the terminal event was among them. Never raises."""

    def finish(self) -> Answer:
        """Return what the exchange told. Never raises."""


def open_reader(match: Match, status: int, headers: Mapping[str, str]) -> Reader:
    """Return a reader for the response to a matched request; `headers` is read by lower-case name."""
    return _Reader(FORMATS[match.api], match, status, headers)


class _Reader:
    """Decode, tell a stream from a JSON body by its first byte, and hand events to the family as they come.

    A compressed JSON body stays compressed until `finish`, so that the app's thread does not pay for inflating it.
    """

    __slots__ = (
        "_body", "_broken", "_content_type", "_decode", "_ended", "_error_type", "_family", "_fetched", "_frames",
        "_framing", "_held", "_hot", "_opaque", "_raw", "_sniffed", "_start", "_status", "first_completion",
        "first_token",
    )  # fmt: skip

    def __init__(self, reading: Format, match: Match, status: int, headers: Mapping[str, str]) -> None:
        self.first_token = False
        self.first_completion = False
        self._family: Family = reading.family(match, headers)
        self._framing = reading.framing
        self._fetched = reading.fetched
        self._content_type = (headers.get("content-type") or "").lower()
        self._opaque = is_opaque(self._content_type)
        self._status = status
        self._error_type = headers.get("x-amzn-errortype") or ""
        self._body = Body()
        self._frames: Frames | None = None  # of a stream
        self._sniffed = False
        self._start = b""
        self._ended = False
        self._broken: str | None = None
        self._hot: Frames | None = None  # of a stream that nothing has to be decoded of
        self._raw: list[bytes] | None = None
        self._held = 0
        self._decode: Decode | None = None
        try:
            self._decode = decoder_for(headers.get("content-encoding") or "")
        except UndecodableError as exc:
            self._broken = str(exc)
        if self._decode is not None and not is_stream(self._content_type):
            self._raw = []

    def feed(self, chunk: bytes) -> bool:
        """Take the next raw bytes; True once, at the terminal event."""
        try:
            if self._hot is not None and len(chunk) <= _PIECE:
                block = self._hot.feed(chunk)
                return bool(block) and self._see(block)
            return self._feed(chunk)
        except UndecodableError as exc:
            self._fail(str(exc))
            return False
        except Exception as exc:  # noqa: BLE001 - the app's own stream must go on whatever we fail at
            self._fail(f"{type(exc).__name__} in the parser")
            return False

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
        return self._held > _RAW_LIMIT and self._inflate()

    def _inflate(self) -> bool:
        """Decode what was held back, and from here on what comes."""
        raw, self._raw = self._raw or [], None
        ended = False
        for chunk in raw:
            ended |= self._decoded(chunk)
        return ended

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
        self._opaque |= self._framing == "lines" and self._frames is None and self._status < 400
        if self._decode is None:
            self._hot = self._frames
        return seen

    def _see(self, block: bytes) -> bool:
        family = self._family
        ended = family.see(block)
        if not self.first_completion:
            self.first_token, self.first_completion = family.first_token, family.first_completion
        first_end = ended and not self._ended
        self._ended |= ended
        return first_end

    def _finish(self) -> Answer:
        if self._raw is not None:
            self._inflate()
        answer = self._from_body() if self._frames is None else self._from_stream(self._frames)
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
            answer = failed(parsed or {"message": _plain(content)}, self._error_type)
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


def _plain(content: bytes) -> str | None:
    """Return an error's plain text; a proxy's HTML page tells nobody anything."""
    start = content[:2048].decode("utf-8", "replace").strip()
    return None if start.startswith("<") else text(start, 500)
