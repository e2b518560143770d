"""What kind of body a provider answers with, and where a result can be added to it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from enum import Enum

from payi_middleware.providers.decoding import Decode, UndecodableError, decoder_for
from payi_middleware.service.errors import ServiceError

from .upstream import Unreachable, UpstreamResponse

__all__ = ["Answer", "Kind", "error_members"]

_MEDIA = ("audio/", "image/", "video/", "application/octet-stream")
_EVENT_STARTS = (b"data:", b"event:", b"id:", b"retry:", b":")
_LINES = ("ndjson", "jsonl", "stream+json")


class Kind(Enum):
    """How a body is framed."""

    JSON = "one JSON text"
    EVENTS = "server-sent events"
    FRAMES = "Amazon's event stream"
    OTHER = "anything else"


class Answer:
    """A provider's answer, decoded.

    Args:
        response: the answer.
        streams: a stream was asked for.
    """

    def __init__(self, response: UpstreamResponse, *, streams: bool) -> None:
        self.status = response.status
        self.headers = response.headers
        self.told = response.told
        self._response = response
        self._streams = streams
        self._decode: Decode | None = None
        self._pieces: Iterator[bytes] = iter(())
        self._start = b""
        self.readable = True
        """False if it is in an encoding that cannot be undone here; then it is passed on in it."""
        try:
            self._decode = decoder_for(response.told.get("content-encoding", ""))
        except UndecodableError:
            self.readable = False

    @property
    def decoded(self) -> bool:
        """Whether it was encoded, although nobody had asked for that, and is not any more."""
        return self._decode is not None

    async def read(self) -> bytes:
        """Return the body's next bytes, decoded if they can be; none at its end.

        Raises:
            Unreachable: it breaks off, or is not what its encoding says.
        """
        start, self._start = self._start, b""
        if start:
            return start
        if self._decode is None:
            return await self._response.read()
        while True:
            try:
                if piece := next(self._pieces, b""):
                    return piece
                if not (chunk := await self._response.read()):
                    return b""
                self._pieces = self._decode(chunk)
            except UndecodableError as error:
                told = "the provider's answer cannot be decoded"
                raise Unreachable(type(error).__name__, ServiceError(502, "provider_error", told)) from error

    async def kind(self) -> Kind:
        """Return how the body is framed, by its content type, or by its beginning where that leaves it open.

        Raises:
            Unreachable: see `read`.
        """
        kind = self._announced()
        if kind is None:
            self._start = await self.read()
            kind = self._kind_of(self._start.lstrip())
        return kind

    def _announced(self) -> Kind | None:
        kind = self.told.get("content-type", "").lower()
        if not self.readable or kind.startswith(_MEDIA) or any(name in kind for name in _LINES):
            return Kind.OTHER
        if kind.startswith("text/event-stream"):
            return Kind.EVENTS
        return Kind.FRAMES if kind.startswith("application/vnd.amazon.eventstream") else None

    def _kind_of(self, start: bytes) -> Kind:
        if start.startswith(b"{"):
            return Kind.JSON
        if start.startswith(b"\0"):
            return Kind.FRAMES
        return Kind.EVENTS if self._streams and start.startswith(_EVENT_STARTS) else Kind.OTHER


def error_members(status: int, body: bytes) -> dict[str, bytes]:
    """Return what Pay-i adds to a provider's error besides its result: https://docs.pay-i.com/docs/handling-errors

    Args:
        body: the provider's error, whose own members are left as they are.
    """
    message = f"the provider answered with HTTP {status}"
    added = {
        "statusCode": str(status).encode(),
        "message": json.dumps(message).encode(),
        "xproxy_error": json.dumps({"code": "provider_error", "message": message}).encode(),
    }
    try:
        own = json.loads(body)
    except (ValueError, RecursionError):
        own = {}
    return {name: value for name, value in added.items() if name not in own}
