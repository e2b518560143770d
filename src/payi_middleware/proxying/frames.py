"""The messages of Amazon's event stream: finding Pay-i's result in them, and taking it out.

https://smithy.io/2.0/aws/amazon-eventstream.html
"""

from __future__ import annotations

import binascii
import re
import struct
import zlib
from base64 import b64encode
from collections.abc import Callable
from typing import Any

from .members import RESULT, last, members_of, without

__all__ = ["whole_frames", "without_result"]

_LENGTHS = struct.Struct(">II")
_CHECKSUM = struct.Struct(">I")
_PRELUDE = 12
_SHORTEST = 16
_MARK = f'"{RESULT}":'.encode()
_BYTES = re.compile(rb'"bytes"\s*:\s*"([A-Za-z0-9+/=]*)"')


def _in_base64(shift: int) -> bytes:
    """Return what a text that has the mark at such a place (modulo 3) has in it, once it is in base64."""
    encoded = b64encode(b"\0" * shift + _MARK)
    return encoded[-(-shift * 8 // 6) : (shift + len(_MARK)) * 8 // 6]


_MARKS = (_MARK, *map(_in_base64, range(3)))


def whole_frames(stream: bytes) -> tuple[int | None, bool]:
    """Return where the last complete message ends, None if these are no messages, and whether a result may be in one.

    Args:
        stream: bytes that begin with a message.
    """
    at = 0
    while len(stream) - at >= _SHORTEST:
        size, headers = _LENGTHS.unpack_from(stream, at)
        if not _SHORTEST + headers <= size:
            return None, False
        if size > len(stream) - at:
            break
        at += size
    return at, any(mark in stream for mark in _MARKS)


def without_result(frames: bytes, take: Callable[[Any], None], *, keep: bool) -> bytes:
    """Return messages without the result in them.

    Args:
        frames: complete messages, and maybe the beginning of one more.
        take: is given the result.
        keep: it stays.
    """
    if not any(mark in frames for mark in _MARKS):
        return frames
    passed, at = [], 0
    while len(frames) - at >= _SHORTEST:
        size = _LENGTHS.unpack_from(frames, at)[0]
        if not _SHORTEST <= size <= len(frames) - at:
            break
        frame = frames[at : at + size]
        passed.append(_without(frame, take) if any(mark in frame for mark in _MARKS) else frame)
        at += size
    return frames if keep else b"".join([*passed, frames[at:]])


def _without(frame: bytes, take: Callable[[Any], None]) -> bytes:
    _, length = _LENGTHS.unpack_from(frame)
    start = _PRELUDE + length
    payload = frame[start:-4]
    wrapped = None if _MARK in payload else _BYTES.search(payload)
    try:
        if wrapped is None:
            cleaned = _object(payload, take)
        else:
            inner = _object(binascii.a2b_base64(wrapped[1]), take)
            encoded = binascii.b2a_base64(inner, newline=False)
            cleaned = payload[: wrapped.start(1)] + encoded + payload[wrapped.end(1) :]
    except (binascii.Error, UnicodeDecodeError):
        return frame
    lengths = _LENGTHS.pack(start + len(cleaned) + 4, length)
    message = lengths + _CHECKSUM.pack(zlib.crc32(lengths)) + frame[_PRELUDE:start] + cleaned
    return message + _CHECKSUM.pack(zlib.crc32(message))


def _object(data: bytes, take: Callable[[Any], None]) -> bytes:
    text = data.decode()
    members = members_of(text) or []
    result = last(members, RESULT)
    if result is None:
        return data
    take(result.value)
    return without(text, members, [result]).encode()
