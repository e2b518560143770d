"""How an answer leaves the stand-in provider: late, slowly, compressed, cut off or without end."""

import zlib
from collections.abc import Iterator, Mapping
from typing import Final

import anyio
import anyio.lowlevel
from starlette.responses import StreamingResponse
from starlette.types import Send

from payi_middleware.demo.behaviour import Behaviour

_GZIP_WINDOW: Final = 31  # zlib's way to ask for gzip: https://docs.python.org/3/library/zlib.html#zlib.compressobj
_ENDLESS_DELAY: Final = 0.01  # seconds, so that an endless stream leaves the processor to others


class Delivery(StreamingResponse):
    """Send frames as a behaviour says; Starlette ends it when the client leaves, `closing` when the server does."""

    def __init__(
        self,
        frames: Iterator[str],
        behaviour: Behaviour,
        closing: anyio.Event,
        *,
        status: int,
        headers: Mapping[str, str],
        media_type: str,
    ) -> None:
        encoding = {"content-encoding": "gzip"} if behaviour.gzip else {}
        super().__init__((), status, {**headers, **encoding}, media_type)
        self.frames = frames
        self.behaviour = behaviour
        self.closing = closing
        self.delay = behaviour.chunk_delay or (_ENDLESS_DELAY if behaviour.endless else 0.0)
        self.gzip = zlib.compressobj(wbits=_GZIP_WINDOW) if behaviour.gzip else None

    async def stream_response(self, send: Send) -> None:
        """Send the frames; to return early is to drop the connection, as the server then closes it."""
        if await self._closed_within(self.behaviour.latency):
            return
        await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
        for sent, frame in enumerate(self.frames):
            if sent == self.behaviour.reset_after or (sent and await self._closed_within(self.delay)):
                return
            await send({"type": "http.response.body", "body": self._encoded(frame), "more_body": True})
        end = self.gzip.flush() if self.gzip else b""
        await send({"type": "http.response.body", "body": end, "more_body": False})

    def _encoded(self, frame: str) -> bytes:
        raw = frame.encode()
        return self.gzip.compress(raw) + self.gzip.flush(zlib.Z_SYNC_FLUSH) if self.gzip else raw

    async def _closed_within(self, seconds: float) -> bool:
        if seconds:
            with anyio.move_on_after(seconds):
                await self.closing.wait()
        else:
            await anyio.lowlevel.checkpoint()
        return self.closing.is_set()
