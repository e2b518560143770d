"""Asking an OpenAI-shaped stream for its usage, and taking what it adds out again.

Without `stream_options.include_usage` such a stream tells no usage at all. With it, one more chunk comes before the
end: its `choices` are empty and its `usage` is set (https://platform.openai.com/docs/api-reference/chat/create).
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping

_STREAMS = re.compile(rb'"stream"\s*:\s*true')
_EXTRA = re.compile(rb'"choices"\s*:\s*\[\s*\]')
_USAGE = re.compile(rb'"usage"\s*:\s*\{')
_SEPARATOR = re.compile(rb"\r\n\r\n|\n\n|\r\r")
_LONGEST = 65_536
_ASKING = b'"stream_options":{"include_usage":true}}'


def is_signed(headers: Mapping[str, str]) -> bool:
    """Return whether a request's body is covered by a signature, so that it may not be changed (AWS SigV4)."""
    return "x-amz-content-sha256" in headers or headers.get("authorization", "").startswith("AWS4-")


def asking_for_usage(body: bytes | None) -> bytes | None:
    """Return the body of a streamed request with its usage asked for; None if there is nothing to change.

    Args:
        body: the request's body, JSON.
    """
    if body is None or _STREAMS.search(body) is None:
        return None
    try:
        asked = json.loads(body)
    except (ValueError, RecursionError):
        return None
    if not isinstance(asked, dict) or asked.get("stream") is not True or asked.get("stream_options") is not None:
        return None
    if "stream_options" in asked:  # present and null: it cannot be appended a second time
        return json.dumps({**asked, "stream_options": {"include_usage": True}}, separators=(",", ":")).encode()
    return body.rstrip()[:-1] + b"," + _ASKING


class ExtraChunk:
    """Takes the chunk that was asked for out of a stream; everything else passes byte for byte.

    An event is held back until it is complete, and passed on as soon as it cannot be the one that is taken out.
    """

    __slots__ = ("_done", "_rest")

    def __init__(self) -> None:
        self._rest = b""
        self._done = False

    def pass_on(self, chunk: bytes) -> bytes:
        """Take the next bytes of the stream and return those that the app gets now."""
        if self._done:
            return chunk
        waiting = self._rest + chunk if self._rest else chunk
        passed: list[bytes] = []
        start = 0
        for separator in _SEPARATOR.finditer(waiting):
            event = waiting[start : separator.end()]
            start = separator.end()
            if _is_extra(event):
                self._done = True
                break
            passed.append(event)
        self._rest = waiting[start:]
        if self._done or len(self._rest) > _LONGEST:
            passed.append(self.rest())
        return b"".join(passed)

    def rest(self) -> bytes:
        """Return what was held back when the stream ended in the middle of an event."""
        rest, self._rest = self._rest, b""
        return rest


def _is_extra(event: bytes) -> bool:
    return _USAGE.search(event) is not None and _EXTRA.search(event) is not None
