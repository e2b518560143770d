"""Adding a member to JSON that a provider wrote, of which every other byte stays as it is."""

from __future__ import annotations

import binascii
import re
import struct
import zlib
from collections.abc import Mapping

__all__ = ["added_to_event", "added_to_frame", "added_to_object", "is_object", "members", "payloads"]

_BLANKS = b" \t\r\n"
_DATA = re.compile(rb"^data:.*\}[ \t]*\r?$", re.MULTILINE)
_BYTES = re.compile(rb'"bytes"\s*:\s*"([A-Za-z0-9+/=]*)"')
_CHUNK = b"\x0b:event-type\x07\x00\x05chunk"
_LENGTHS = struct.Struct(">II")
_CHECKSUM = struct.Struct(">I")
_PRELUDE = 12


def members(named: Mapping[str, bytes]) -> bytes:
    """Write members of a JSON object, without its braces.

    Args:
        named: the values, in JSON.
    """
    return b",".join(b'"%s":%s' % (name.encode(), value) for name, value in named.items())


def is_object(text: bytes) -> bool:
    """Return whether a text looks like a JSON object."""
    return text.lstrip(_BLANKS).startswith(b"{") and text.rstrip(_BLANKS).endswith(b"}")


def added_to_object(text: bytes, added: bytes) -> bytes:
    """Return a JSON object, or the end of one, with members added behind its own; anything else as it is."""
    end = len(text.rstrip(_BLANKS)) - 1
    if end < 0 or text[end] != 0x7D:
        return text
    inner = text[:end].rstrip(_BLANKS)
    comma = b"" if inner.endswith(b"{") else b","
    return inner + comma + added + text[len(inner) :]


def added_to_event(event: bytes, added: bytes, inside: re.Pattern[bytes] | None = None) -> bytes:
    """Return a server-sent event with members added to the object in its data; one without an object as it is.

    Args:
        event: the event, or its end where its beginning has been sent.
        inside: where an object within that object begins, to which they are added as well.
    """
    if inside is not None and (found := inside.search(event)):
        comma = b"" if event[found.end() :].lstrip(_BLANKS).startswith(b"}") else b","
        event = event[: found.end()] + added + comma + event[found.end() :]
    if event.rstrip(_BLANKS).endswith(b"}"):
        return added_to_object(event, added)
    lines = list(_DATA.finditer(event))
    if not lines:
        return event
    start, end = lines[-1].span()
    return event[:start] + added_to_object(event[start:end], added) + event[end:]


def added_to_frame(frame: bytes, added: bytes) -> bytes:
    """Return a message of Amazon's event stream with members added to its payload, and its checksums made anew.

    Where the payload wraps a model's own event (`{"bytes": "<base64>"}`), they are added to that.
    https://smithy.io/2.0/aws/amazon-eventstream.html
    """
    _, length = _LENGTHS.unpack_from(frame)
    start = _PRELUDE + length
    payload = frame[start:-4]
    wrapped = _BYTES.search(payload) if _CHUNK in frame[_PRELUDE:start] else None
    if wrapped is None:
        payload = added_to_object(payload, added)
    else:
        try:
            inner = binascii.a2b_base64(wrapped[1])
        except binascii.Error:
            return frame
        inner = added_to_object(inner, added)
        payload = payload[: wrapped.start(1)] + binascii.b2a_base64(inner, newline=False) + payload[wrapped.end(1) :]
    lengths = _LENGTHS.pack(start + len(payload) + 4, length)
    message = lengths + _CHECKSUM.pack(zlib.crc32(lengths)) + frame[_PRELUDE:start] + payload
    return message + _CHECKSUM.pack(zlib.crc32(message))


def payloads(stream: bytes) -> list[str]:
    """Return the JSON payloads of the messages at the beginning of one of Amazon's event streams; none of another."""
    found, at = [], 0
    while stream.startswith(b"\0", at) and len(stream) - at > _PRELUDE:
        size, length = _LENGTHS.unpack_from(stream, at)
        if not _PRELUDE + length < size <= len(stream) - at:
            break
        found.append(stream[at + _PRELUDE + length : at + size - 4].decode("utf-8", "replace"))
        at += size
    return found
