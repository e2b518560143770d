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
_WRAPPED = re.compile(rb'"bytes"\s*:\s*"([A-Za-z0-9+/=]*)"')
_REMEMBERED = 32


class AwsEvents:
    r"""Gather a stream's bytes into blocks of server-sent events, one per message.

    A message becomes `event: <its event or exception type>\ndata: <its JSON payload>\n\n`. The chunks of
    `invoke-with-response-stream` carry the model's own JSON in base64, which is undone. Checksums are not looked at:
    TLS has seen to that, and whether the app's SDK believes a message is not decided here. Of a message above 128 KiB
    the middle is dropped.
    """

    __slots__ = ("_names", "_pending", "_wanted")

    def __init__(self) -> None:
        self._pending = bytearray()
        self._wanted = 0  # bytes of the message at the start of what is pending that are still to come
        self._names: dict[bytes, bytes] = {}  # nearly all messages have one of a few sets of headers

    def feed(self, chunk: bytes) -> bytes:
        """Return the events that `chunk` completes; raises UndecodableError where it is no event stream."""
        blocks: list[bytes] = []
        at, end = 0, len(chunk)
        while at < end:
            if not self._pending and (size := _size(chunk, at, end)) and size <= end - at:
                blocks.append(self._event(chunk[at : at + size]))
                at += size
            else:
                at = self._gather(chunk, at, blocks)
        return blocks[0] if len(blocks) == 1 else b"".join(blocks)

    def rest(self) -> bytes:
        """Return nothing: a message that was cut off says nothing."""
        return b""

    def _gather(self, chunk: bytes, at: int, blocks: list[bytes]) -> int:
        """Take the next bytes of a message that came in pieces; return where in `chunk` they end."""
        pending = self._pending
        if len(pending) < _PRELUDE:
            step = _PRELUDE - len(pending)
            pending += chunk[at : at + step]
            if size := _size(pending, 0, len(pending)):
                self._wanted = size - _PRELUDE
            return at + step
        step = self._wanted
        pending += chunk[at : at + step]
        self._wanted -= min(step, len(chunk) - at)
        if not self._wanted:
            blocks.append(self._event(bytes(pending)))
            pending.clear()
        elif len(pending) > 2 * EVENT_LIMIT:
            # The headers are at the head; what models say of usage is at the tail.
            pending[EVENT_LIMIT // 4 : -EVENT_LIMIT // 2] = GAP
        return at + step

    def _event(self, message: bytes) -> bytes:
        start = _PRELUDE + _LENGTHS.unpack_from(message)[1]
        headers = message[_PRELUDE:start]
        name = self._names.get(headers)
        if name is None:
            name = _name(headers)
            if len(self._names) < _REMEMBERED and len(headers) < EVENT_LIMIT // _REMEMBERED:
                self._names[headers] = name
        payload = message[start:-_CHECKSUM]
        if name == b"chunk":
            payload = _unwrapped(payload)
        if b"\n" in payload or b"\r" in payload:
            payload = payload.replace(b"\r", b" ").replace(b"\n", b" ")  # white space: JSON's texts have none such
        return b"event: %s\ndata: %s\n\n" % (name, payload)


def _size(data: bytes | bytearray, at: int, end: int) -> int:
    """Return the size of the message at `at`, 0 where its prelude is not complete."""
    if end - at < _PRELUDE:
        return 0
    size: int
    size, headers = _LENGTHS.unpack_from(data, at)
    if not _PRELUDE + _CHECKSUM + headers <= size <= _MOST or headers > _MOST_HEADERS:
        raise UndecodableError("no event stream")
    return size


def _unwrapped(payload: bytes) -> bytes:
    """Return the model's own JSON, or the payload where it is not wrapped."""
    wrapped = _WRAPPED.search(payload)
    if wrapped is None:
        return payload
    try:
        return binascii.a2b_base64(wrapped[1])
    except binascii.Error:
        return b""


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
