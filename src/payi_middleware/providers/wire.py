"""Cut streams into events and hold bodies, in bounded memory however long, endless or hostile they are."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator

__all__ = ["ELEMENT", "Body", "Events", "each_element", "each_event", "each_named_event", "shorten"]

ELEMENT = b",\r\n"
"""What Google has before every element of an array but the first. A block may be such elements, as they are."""

# A cut is marked with a byte that no JSON text may contain: what was cut can never be taken for the whole.
GAP = b"\0"
_BOM = b"\xef\xbb\xbf"
_LF, _CR = b"\n\r"  # as numbers: several times as fast to search for as texts of one byte

EVENT_LIMIT = 65_536
_EVENT_HEAD = 16_384
_EVENT_TAIL = 32_768

BODY_LIMIT = 4 * 2**20
_BODY_HEAD = 65_536
_BODY_TAIL = 262_144
_CRUMB = 512


class Events:
    """Gather a stream's bytes into blocks of complete server-sent events, whatever its line ends and cuts.

    An event above 64 KiB keeps its head and its tail only: what providers say of usage is at the one or the other.
    Format: https://html.spec.whatwg.org/multipage/server-sent-events.html#event-stream-interpretation
    """

    __slots__ = ("_ended_in_cr", "_pending", "between")

    def __init__(self) -> None:
        self._pending = bytearray()
        self._ended_in_cr = False
        self.between = True  # nothing is pending, not even the second half of a line end

    def feed(self, chunk: bytes) -> bytes:
        """Return the events that `chunk` (at most 32 KiB) completes, each with its blank line; often just `chunk`."""
        if self.between and chunk.endswith((b"\n\n", b"\r\n\r\n")):
            return chunk  # it would take a stream of mixed line ends to be wrong here, and `each_event` sees to those
        block = self._feed_slowly(chunk)
        self.between = not self._pending and not self._ended_in_cr
        return block

    def rest(self) -> bytes:
        """Return the event that the stream broke off in, empty where it did not."""
        return bytes(self._pending)

    def _feed_slowly(self, chunk: bytes) -> bytes:
        if self._ended_in_cr or b"\r" in chunk:
            chunk = self._after_cr(chunk)
        pending = self._pending
        searched = max(0, len(pending) - 1)
        pending += chunk
        end = pending.rfind(b"\n\n", searched) + 2
        if end >= 2:
            block = bytes(pending[:end])
            del pending[:end]
        else:
            block = b""
        if len(pending) > EVENT_LIMIT:
            pending[_EVENT_HEAD:-_EVENT_TAIL] = GAP
        return block

    def _after_cr(self, chunk: bytes) -> bytes:
        if self._ended_in_cr and chunk.startswith(b"\n"):
            chunk = chunk[1:]  # the second half of a CRLF that was cut in two
        self._ended_in_cr = chunk.endswith(b"\r")
        return _one_line_end(chunk)


def _one_line_end(data: bytes) -> bytes:
    return data.replace(b"\r\n", b"\n").replace(b"\r", b"\n")


def each_event(block: bytes) -> list[bytes]:
    """Return the data of each event in a block; comments and other fields are left out."""
    if block.startswith(ELEMENT):
        return block[len(ELEMENT) :].split(b"\n" + ELEMENT)
    if _CR in block:
        block = _one_line_end(block)
    before, _, rest = block.partition(b"data: ")
    data = rest[:-2]
    if _LF not in data and data + b"\n\n" == rest and (not before or _is_name(before)):
        return [data] if data else []  # one event on a line, as nearly all blocks are
    return [data for event in block.split(b"\n\n") if (data := _one_line(event) or _data(event))]


def _one_line(event: bytes) -> bytes:
    """Return the data of an event that has it on one line, and nothing else but maybe a name; else nothing."""
    before, _, data = event.partition(b"data: ")
    return data if _LF not in data and (not before or _is_name(before)) else b""


def each_element(block: bytes) -> list[bytes]:
    """Return the elements in a block that begins with one, as blocks."""
    first, *others = block.split(b"\n,\r")  # faster than with the whole ELEMENT, as hardly anything ends in this
    return [first, *[b",\r" + element for element in others]]


def each_named_event(block: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Yield (name, data) of each event in a block; the name is empty where the event has none."""
    if _CR in block:
        block = _one_line_end(block)
    for event in block.split(b"\n\n"):
        if data := _one_line(event) or _data(event):
            yield _field(event, b"event"), data


def _is_name(before: bytes) -> bool:
    """Return whether this is an event's name on a line of its own, which is all that most have before their data."""
    return before.startswith(b"event: ") and before.find(b"\n") == len(before) - 1


def _field(event: bytes, wanted: bytes) -> bytes:
    for line in event.removeprefix(_BOM).split(b"\n"):
        name, _, value = line.partition(b":")
        if name == wanted:
            return value.removeprefix(b" ")
    return b""


def _data(event: bytes) -> bytes:
    lines = []
    for line in event.removeprefix(_BOM).split(b"\n"):
        name, _, value = line.partition(b":")
        # llama.cpp's server names an error's field `error` where the standard has `data`.
        if name in (b"data", b"error"):
            lines.append(value.removeprefix(b" "))
    return b"\n".join(lines)


def shorten(event: bytes, limit: int) -> bytes:
    """Return the event, of which a third of `limit` is kept at its head and the rest at its tail where it is longer."""
    if len(event) <= limit:
        return event
    head = limit // 3
    return event[:head] + GAP + event[head - limit :]


class Body:
    """Hold a body's chunks by reference up to 4 MiB; beyond that its first 64 KiB and its last 256 KiB."""

    __slots__ = ("_chunks", "_head", "_held", "_size")

    def __init__(self) -> None:
        self._head = b""
        self._chunks: deque[bytes] = deque()
        self._held = 0
        self._size = 0

    def append(self, chunk: bytes) -> None:
        """Add the next chunk."""
        if self._chunks and len(chunk) < _CRUMB and len(self._chunks[-1]) < 8 * _CRUMB:
            self._chunks[-1] += chunk  # a body of crumbs would weigh a multiple of its bytes
        else:
            self._chunks.append(chunk)
        self._held += len(chunk)
        self._size += len(chunk)
        if self._size > BODY_LIMIT:
            self._shrink()

    def content(self) -> bytes:
        """Return the body, with a NUL byte in place of what was dropped."""
        if not self._head:
            return b"".join(self._chunks)
        return self._head + GAP + b"".join(self._chunks)

    def _shrink(self) -> None:
        chunks = self._chunks
        while len(self._head) < _BODY_HEAD:
            self._head += chunks[0][: _BODY_HEAD - len(self._head)]
            if len(self._head) < _BODY_HEAD:
                self._held -= len(chunks.popleft())
        while self._held - len(chunks[0]) >= _BODY_TAIL:
            self._held -= len(chunks.popleft())
        if len(chunks[0]) > _BODY_TAIL:
            # A slice is a copy: a reference would keep all of a giant chunk alive.
            self._held -= len(chunks[0]) - _BODY_TAIL
            chunks[0] = chunks[0][-_BODY_TAIL:]
