"""A provider on a socket that costs next to nothing: `python -m benchmarks.peers.provider SECONDS` to each answer.

`GET /counted` tells how many calls it has answered.
"""

from __future__ import annotations

import asyncio
import sys

from benchmarks.peers.provided import plain


class _Provider(asyncio.Protocol):
    answered = 0

    def __init__(self, delay: float) -> None:
        self._delay = delay
        self._told = b""
        self._transport: asyncio.WriteTransport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.WriteTransport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._told += data
        while True:
            head, found, rest = self._told.partition(b"\r\n\r\n")
            if not found:
                return
            length = int(head.lower().partition(b"content-length:")[2].partition(b"\r\n")[0] or 0)
            if len(rest) < length:
                return
            self._told = rest[length:]
            if head.startswith(b"GET"):
                self._answer(b"%d" % _Provider.answered)
                if self._transport is not None:
                    self._transport.close()  # who asks reads to the end
            elif self._delay:
                asyncio.get_running_loop().call_later(self._delay, self._answer)
            else:
                self._answer()

    def _answer(self, body: bytes = b"") -> None:
        if not body:
            _Provider.answered += 1
            body = plain()
        if self._transport is not None and not self._transport.is_closing():
            self._transport.write(
                b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n%b" % (len(body), body)
            )


async def _main(delay: float) -> None:
    server = await asyncio.get_running_loop().create_server(lambda: _Provider(delay), "127.0.0.1", 0, backlog=256)
    sys.stdout.write(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}\n")
    sys.stdout.flush()
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(_main(float(sys.argv[1])))
