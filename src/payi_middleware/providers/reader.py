"""One exchange, from raw transport bytes to an `Answer`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Protocol

from .answer import MISSING, Answer
from .anthropic import Anthropic
from .decoding import Decode, UndecodableError, decoder_for
from .family import Family, failed, without_usage
from .hosts import Match
from .openai_chat import OpenAIChat
from .openai_responses import OpenAIResponses
from .values import carve, loads, text
from .wire import Body, Events

__all__ = ["Reader", "open_reader"]

_PIECE = 32_768
_RAW_LIMIT = 262_144
_SNIFF_LIMIT = 4_096
_JSON_STARTS = b"{["
_SSE_STARTS = b"deir:\xef"  # data, event, error, id, retry, a comment, a byte order mark


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
    return _Reader(_family(match), status, headers.get("content-type") or "", headers.get("content-encoding") or "")


def _family(match: Match) -> Family:
    if match.api == "anthropic.messages":
        return Anthropic(match.provider)
    if match.api == "openai.responses":
        return OpenAIResponses(match.provider)
    return OpenAIChat(match.api, match.provider)


class _Reader:
    """Decode, tell a stream from a JSON body by its first byte, and hand events to the family as they come.

    A compressed JSON body stays compressed until `finish`, so that the app's thread does not pay for inflating it.
    """

    __slots__ = (
        "_body", "_broken", "_decode", "_ended", "_events", "_family", "_held", "_hot",
        "_raw", "_start", "_status", "_streams", "first_completion", "first_token",
    )  # fmt: skip

    def __init__(self, family: Family, status: int, content_type: str, content_encoding: str) -> None:
        self.first_token = False
        self.first_completion = False
        self._family = family
        self._status = status
        self._body = Body()
        self._events = Events()
        self._streams: bool | None = None  # not known before the first byte
        self._start = b""
        self._ended = False
        self._broken: str | None = None
        self._hot = False
        self._raw: list[bytes] | None = None
        self._held = 0
        self._decode: Decode | None = None
        try:
            self._decode = decoder_for(content_encoding)
        except UndecodableError as exc:
            self._broken = str(exc)
        if self._decode is not None and "event-stream" not in content_type.lower():
            self._raw = []

    def feed(self, chunk: bytes) -> bool:
        """Take the next raw bytes; True once, at the terminal event."""
        try:
            if self._hot and len(chunk) <= _PIECE:
                block = self._events.feed(chunk)
                return bool(block) and self._see(block)
            return self._feed(chunk)
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
        self._hot = False
        self._raw = None

    def _feed(self, chunk: bytes) -> bool:
        if self._broken or not chunk:
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
        if self._streams is None:
            piece = self._sniff(piece)
        if not self._streams:
            if piece:
                self._body.append(piece)
            return False
        ended = False
        for start in range(0, len(piece), _PIECE):
            block = self._events.feed(piece[start : start + _PIECE])
            ended |= bool(block) and self._see(block)
        return ended

    def _sniff(self, piece: bytes) -> bytes:
        """Decide by the first byte that is not white space, as content types lie; return what may be read now."""
        seen = self._start + piece
        first = seen.lstrip()[:1]
        if not first and len(seen) < _SNIFF_LIMIT:
            self._start = seen
            return b""
        self._start = b""
        self._streams = bool(first) and first in _SSE_STARTS
        self._hot = self._streams and self._decode is None
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
        answer = self._from_stream() if self._streams else self._from_body()
        if self._broken and answer.usage is None:
            return replace(answer, notes={**answer.notes, MISSING: self._broken})
        return answer

    def _from_stream(self) -> Answer:
        if rest := self._events.rest():
            self._family.see(rest)
        return self._family.streamed()

    def _from_body(self) -> Answer:
        content = self._body.content().removeprefix(b"\xef\xbb\xbf")
        parsed = loads(content)
        if self._status >= 400:
            return failed(parsed or {"message": _plain(content)})
        answer = self._family.whole(parsed or carve(content))
        if parsed is None and answer.usage is None:
            return replace(answer, notes=without_usage("answer not understood" if content else "empty answer"))
        return answer


def _plain(content: bytes) -> str | None:
    """Return an error's plain text; a proxy's HTML page tells nobody anything."""
    start = content[:2048].decode("utf-8", "replace").strip()
    return None if start.startswith("<") else text(start, 500)
