"""Amazon's event stream, written: https://smithy.io/2.0/aws/amazon-eventstream.html"""

from __future__ import annotations

import base64
import json
import struct
import zlib
from typing import Any

EVENT_STREAM = {"content-type": "application/vnd.amazon.eventstream"}


def frame(headers: dict[str, str], payload: bytes) -> bytes:
    """Return one message, with its lengths and both checksums."""
    told = b"".join(
        bytes([len(name)]) + name.encode() + b"\x07" + struct.pack(">H", len(value)) + value.encode()
        for name, value in headers.items()
    )
    prelude = struct.pack(">II", 16 + len(told) + len(payload), len(told))
    message = prelude + struct.pack(">I", zlib.crc32(prelude)) + told + payload
    return message + struct.pack(">I", zlib.crc32(message))


def event(kind: str, told: Any) -> bytes:
    """Return one event of Converse."""
    headers = {":event-type": kind, ":content-type": "application/json", ":message-type": "event"}
    return frame(headers, json.dumps(told, separators=(",", ":")).encode())


def chunk(told: Any) -> bytes:
    """Return one event of `invoke-with-response-stream`, which wraps the model's own."""
    inner = json.dumps(told, separators=(",", ":")).encode()
    return event("chunk", {"bytes": base64.b64encode(inner).decode(), "p": "abcdef"})


def exception(kind: str, message: str) -> bytes:
    """Return the message that ends a stream which failed."""
    headers = {":exception-type": kind, ":content-type": "application/json", ":message-type": "exception"}
    return frame(headers, json.dumps({"message": message}).encode())
