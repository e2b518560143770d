"""Asking an OpenAI-shaped stream for its usage, and taking what it adds out again.

Without `stream_options.include_usage` such a stream tells no usage at all. With it, one more chunk comes before the
end: its `choices` are empty and its `usage` is set (https://platform.openai.com/docs/api-reference/chat/create).
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping

from .providers.decoding import Decode, UndecodableError, decoder_for

__all__ = ["ExtraChunk", "UndecodableError", "asking_for_usage", "is_extra", "is_signed", "taking_out"]

_STREAMS = re.compile(rb'"stream"\s*:\s*true')
_EXTRA = re.compile(rb'"choices"\s*:\s*\[\s*\]')
_USAGE = re.compile(rb'"usage"\s*:\s*\{')
_SEPARATOR = re.compile(rb"\r\n\r\n|\n\n|\r\r")
_ENDS = (b"\n\n", b"\r\n\r\n", b"\r\r")
_LONGEST = 65_536
# AWS SigV4's, and those of digests of the body, which signatures are made of (RFC 9421, RFC 9530, RFC 1864).
_SIGNED = ("x-amz-content-sha256", "content-digest", "digest", "content-md5")
# Azure refuses to do both: https://github.com/openai/openai-python/issues/2296
_REFUSES = "data_sources"
_ASKING = b'"stream_options":{"include_usage":true}}'


def is_signed(headers: Mapping[str, str]) -> bool:
    """Return whether a request's body is covered by a signature, so that it may not be changed.

    Args:
        headers: the request's headers, looked up by lower-case names.
    """
    return any(name in headers for name in _SIGNED) or headers.get("authorization", "").startswith("AWS4-")


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
    if not isinstance(asked, dict) or asked.get("stream") is not True or _REFUSES in asked:
        return None
    if "stream_options" not in asked:
        return body.rstrip()[:-1] + b"," + _ASKING
    options = asked["stream_options"] or {}
    if not isinstance(options, dict) or options.get("include_usage") is not None:
        return None  # the app has decided
    asked["stream_options"] = {**options, "include_usage": True}
    return json.dumps(asked, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "backslashreplace")


class ExtraChunk:
    """Takes the chunk that was asked for out of a stream; everything else passes byte for byte, once it is decoded.

    An event is held back until it is complete, and passed on as soon as it cannot be the one that is taken out.

    Args:
        decode: undoes the encoding that the stream's bytes come in, if they do.
    """

    __slots__ = ("_decode", "_done", "_rest")

    def __init__(self, decode: Decode | None = None) -> None:
        self._decode = decode
        self._rest = b""
        self._done = False

    @property
    def decodes(self) -> bool:
        """Whether the app gets the stream without its encoding."""
        return self._decode is not None

    @property
    def idle(self) -> bool:
        """Whether nothing is held back, so that events of which none is the one need not come by here."""
        return self._decode is None and not self._rest

    def pass_on(self, chunk: bytes) -> bytes:
        """Take the next bytes of the stream and return those that the app gets now.

        Raises:
            UndecodableError: the bytes are not what their encoding asks for.
        """
        if self._decode is None:
            if not self._rest and chunk.endswith(_ENDS) and _USAGE.search(chunk) is None:
                return chunk  # nearly every chunk of a stream: whole events, none of which is the one
            return self._pass_on(chunk)
        return b"".join([self._pass_on(piece) for piece in self._decode(chunk)])

    def _pass_on(self, chunk: bytes) -> bytes:
        if self._done:
            return chunk
        waiting = self._rest + chunk if self._rest else chunk
        passed: list[bytes] = []
        start = 0
        for separator in _SEPARATOR.finditer(waiting):
            event = waiting[start : separator.end()]
            start = separator.end()
            if is_extra(event):
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


def taking_out(status: int, headers: Mapping[str, str], *, decoded: bool = False) -> ExtraChunk | None:
    """Return what takes the chunk that was asked for out of an answer, if it may be in it and can be found.

    Args:
        status: the answer's HTTP status.
        headers: the answer's headers, looked up by lower-case names.
        decoded: the bytes come without the encoding that the headers tell.
    """
    if status >= 400 or "json" in headers.get("content-type", "").lower():
        return None  # no stream
    try:
        return ExtraChunk(None if decoded else decoder_for(headers.get("content-encoding", "")))
    except UndecodableError:  # an encoding that is not known here: the app gets what came
        return None


def is_extra(event: bytes) -> bool:
    """Return whether a server-sent event is the chunk that a stream has only if its usage is asked for."""
    return _USAGE.search(event) is not None and _EXTRA.search(event) is not None
