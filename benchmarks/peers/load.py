"""A client that keeps connections busy: `python -m benchmarks.peers.load URL CONNECTIONS SECONDS`.

It prints the requests that were answered, those that failed, and the seconds.
"""

from __future__ import annotations

import asyncio
import json
import sys
from time import perf_counter
from urllib.parse import urlsplit

_ASK = b"GET / HTTP/1.1\r\nHost: app.example\r\nUser-Agent: load\r\nAccept: */*\r\n\r\n"


class _Connection(asyncio.Protocol):
    answered = failed = 0

    def __init__(self, until: float) -> None:
        self._until = until
        self._told = b""
        self._transport: asyncio.Transport | None = None
        self.ended: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        transport.write(_ASK)

    def data_received(self, data: bytes) -> None:
        self._told += data
        head, found, body = self._told.partition(b"\r\n\r\n")
        if not found or len(body) < int(head.lower().partition(b"content-length:")[2].partition(b"\r\n")[0]):
            return
        self._told = b""
        if head.startswith(b"HTTP/1.1 200"):
            _Connection.answered += 1
        else:
            _Connection.failed += 1
        assert self._transport is not None
        if perf_counter() < self._until:
            self._transport.write(_ASK)
        else:
            self._transport.close()

    def connection_lost(self, error: Exception | None) -> None:
        if not self.ended.done():
            self.ended.set_result(None)


async def _main(url: str, connections: int, seconds: float) -> None:
    parts, loop = urlsplit(url), asyncio.get_running_loop()
    began = perf_counter()
    opened = [
        await loop.create_connection(lambda: _Connection(began + seconds), parts.hostname or "", parts.port or 0)
        for _ in range(connections)
    ]
    await asyncio.gather(*(connection.ended for _, connection in opened))
    told = {"answered": _Connection.answered, "failed": _Connection.failed, "seconds": perf_counter() - began}
    sys.stdout.write(json.dumps(told) + "\n")


if __name__ == "__main__":
    asyncio.run(_main(sys.argv[1], int(sys.argv[2]), float(sys.argv[3])))
