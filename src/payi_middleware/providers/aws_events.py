"""Turn Amazon's binary event stream into server-sent events, incrementally and in bounded memory.

Format: https://smithy.io/2.0/aws/amazon-eventstream.html
"""

from __future__ import annotations

import binascii
import re
import struct

from .decoding import UndecodableError
from .wire import EVENT_LIMIT, GAP

__all__ = ["AwsEvents"]

_PRELUDE = 12  # total length, headers' length, checksum
_CHECKSUM = 4
_MOST = 2**24 + 2**17  # 16 MiB of payload and 128 KiB of headers, as the format allows
_MOST_HEADERS = 2**17
_LENGTHS = struct.Struct(">II")
_TEXT = 7
# Bytes of a header's value by its type; bytes and texts (6 and 7) tell their own length.
_WIDTHS = {0: 0, 1: 0, 2: 1, 3: 2, 4: 4, 5: 8, 8: 8, 9: 16}
_NAMES = (b":exception-type", b":error-code", b":event-type")
_WRAPPING = b'{"bytes":"'
_WRAPPED = re.compile(rb'"bytes"\s*:\s*"([A-Za-z0-9+/=]*)"')
_REMEMBERED = 32
_SHORT = EVENT_LIMIT // 8
_LF, _CR = b"\n\r"
# What is known of messages: of payloads that wrap nothing as many bytes as make sure that there is a checksum, and of
# the base64 in the others at most so much; how often it is learned, and how much less in common is no other kind.
_ALIKE = _CHECKSUM
_MOST_ALIKE = 1_024
_LESSONS = 4
_SLIP = 8


class AwsEvents:
    r"""Gather a stream's bytes into blocks of server-sent events, one per message.

    A message becomes `event: <its event or exception type>\ndata: <its JSON payload>\n\n`. The chunks of
    `invoke-with-response-stream` carry the model's own JSON in base64, which is undone. Checksums are not looked at:
    TLS has seen to that, and whether the app's SDK believes a message is not decided here. Of a message above 128 KiB
    the middle is dropped.

    Nearly all messages begin as the one before, headers and most of the base64 included: only the rest is decoded.
    """

    __slots__ = (
        "_base64", "_begun", "_headers", "_label", "_lessons", "_like", "_long", "_names", "_start", "_wanted",
        "_wraps",
    )  # fmt: skip

    def __init__(self) -> None:
        self._begun = b""  # the beginning of a message
        self._long = bytearray()  # the same of a long one, of which as many bytes are still wanted:
        self._wanted = 0
        self._names: dict[bytes, bytes] = {}  # nearly all messages have one of a few sets of headers
        # Of messages like the last ones: what they have from the prelude up to `start`, how long their headers are,
        # how their events begin, and whether what follows is base64.
        self._like = b""
        self._start = _PRELUDE
        self._headers = -1
        self._label = b""
        self._wraps = False
        self._base64 = b""  # of the last message that was learned from
        self._lessons = _LESSONS  # messages to learn from before it is known what they have in common

    def feed(self, chunk: bytes) -> bytes:
        """Return the events that `chunk` completes; raises UndecodableError where it is no event stream."""
        if len(chunk) >= _PRELUDE and not self._begun and not self._wanted:
            size, headers = _LENGTHS.unpack_from(chunk)
            if size == len(chunk):
                return self._event(chunk, headers)
        return self._events(chunk)

    def rest(self) -> bytes:
        """Return nothing: a message that was cut off says nothing."""
        return b""

    def _events(self, chunk: bytes) -> bytes:
        """Return the events of the messages that end in `chunk`."""
        data, blocks, at = self._begun + chunk, [], 0
        if self._wanted:
            at = min(self._wanted, len(data))
            blocks.append(self._continued(data[:at]))
        while len(data) - at >= _PRELUDE:
            size, headers = _LENGTHS.unpack_from(data, at)
            _check(size, headers)
            if size > len(data) - at:
                if size > _SHORT:
                    self._wanted = size - len(data) + at
                    self._long += data[at:]
                    at = len(data)
                break
            blocks.append(self._event(data[at : at + size], headers))
            at += size
        self._begun = data[at:]
        return blocks[0] if len(blocks) == 1 else b"".join(blocks)

    def _continued(self, piece: bytes) -> bytes:
        """Take the next bytes of a long message; return its event if they are its last."""
        long = self._long
        long += piece
        self._wanted -= len(piece)
        if not self._wanted:
            message = bytes(long)
            long.clear()
            return self._another_event(message, _LENGTHS.unpack_from(message)[1])
        if len(long) > 2 * EVENT_LIMIT:
            # The headers are at the head; what models say of usage is at the tail.
            long[EVENT_LIMIT // 4 : -EVENT_LIMIT // 2] = GAP
        return b""

    def _event(self, message: bytes, headers: int) -> bytes:
        start = self._start
        if message[_PRELUDE:start] != self._like or headers != self._headers or self._lessons:
            _check(len(message), headers)
            return self._another_event(message, headers)
        if self._wraps:
            base64, closed, _ = message[start:].partition(b'"')
            try:
                payload = binascii.a2b_base64(base64, strict_mode=True)
            except binascii.Error:
                closed = b""
            if not closed:
                return self._another_event(message, headers)
        else:
            payload = message[start - _ALIKE : -_CHECKSUM]
        if _LF in payload or _CR in payload:
            payload = _on_one_line(payload)
        return b"%s%s\n\n" % (self._label, payload)

    def _another_event(self, message: bytes, length: int) -> bytes:
        """Return the event of a message that is unlike the last one, and learn from it."""
        start = _PRELUDE + length
        headers, payload = message[_PRELUDE:start], message[start:-_CHECKSUM]
        usual = length < EVENT_LIMIT // _REMEMBERED
        name = self._names.get(headers)
        if name is None:
            name = _name(headers)
            if len(self._names) < _REMEMBERED and usual:
                self._names[headers] = name
        label = b"event: %s\ndata: " % name
        wraps = name == b"chunk"
        wrapped = _WRAPPED.search(payload) if wraps else None
        if usual and wrapped is not None and payload.startswith(_WRAPPING):
            self._learn_base64(headers, label, wrapped[1])
        elif usual and not wraps and len(payload) >= _ALIKE:
            self._expect(headers, payload[:_ALIKE], label, wraps=False)
        else:
            self._headers = -1  # expect nothing
        if wrapped is not None:
            payload = _decoded(wrapped[1])
        return b"%s%s\n\n" % (label, _on_one_line(payload))

    def _learn_base64(self, headers: bytes, label: bytes, base64: bytes) -> None:
        """Find out what the models' own events begin with, so that only the rest of them has to be decoded."""
        begun = _alike(base64, self._base64)
        if self._lessons:
            self._lessons -= 1
        elif not self._wraps or self._start - _PRELUDE - len(headers) - len(_WRAPPING) - len(begun) > _SLIP:
            self._lessons = _LESSONS - 1  # another kind of event; else the last words happened to begin alike
        self._base64 = base64[:_MOST_ALIKE]
        self._expect(headers, _WRAPPING + begun, label + _on_one_line(_decoded(begun)), wraps=True)

    def _expect(self, headers: bytes, begun: bytes, label: bytes, *, wraps: bool) -> None:
        """Expect messages with the same headers whose payloads begin in the same way."""
        self._like, self._headers, self._label, self._wraps = headers + begun, len(headers), label, wraps
        self._start = _PRELUDE + len(self._like)
        if not wraps:
            self._lessons, self._base64 = 0, b""


def _check(size: int, headers: int) -> None:
    if not _PRELUDE + _CHECKSUM + headers <= size <= _MOST or headers > _MOST_HEADERS:
        raise UndecodableError("no event stream")


def _on_one_line(payload: bytes) -> bytes:
    return payload.replace(b"\r", b" ").replace(b"\n", b" ")  # white space: JSON's texts have none such


def _decoded(base64: bytes) -> bytes:
    try:
        return binascii.a2b_base64(base64)
    except binascii.Error:
        return b""


def _alike(base64: bytes, other: bytes) -> bytes:
    """Return what both begin with, in whole groups of 4 that stand for 3 bytes each."""
    least, most = 0, min(len(base64), len(other)) // 4
    while least < most:
        middle = (least + most + 1) // 2
        if base64[: 4 * middle] == other[: 4 * middle]:
            least = middle
        else:
            most = middle - 1
    return base64[: 4 * least]


def _name(headers: bytes) -> bytes:
    """Return the type of the event, or of the exception that the stream ended in."""
    found: dict[bytes, bytes] = {}
    at = 0
    while at < len(headers):
        name_end = at + 1 + headers[at]
        if name_end >= len(headers):
            break
        kind, value_at = headers[name_end], name_end + 1
        width = _WIDTHS.get(kind)
        if width is None:
            width = int.from_bytes(headers[value_at : value_at + 2])
            value_at += 2
        if kind == _TEXT:
            found[headers[at + 1 : name_end]] = headers[value_at : value_at + width]
        at = value_at + width
    name = next((found[name] for name in _NAMES if name in found), b"message")
    return name.replace(b"\n", b"").replace(b"\r", b"")[:128]
