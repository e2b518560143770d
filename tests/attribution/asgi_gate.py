"""What makes requests overlap, whatever the server's and the machine's speed."""

from __future__ import annotations

import anyio
from starlette.types import ASGIApp, Receive, Scope, Send

_SECONDS = 30.0


class Gate:
    """ASGI middleware that lets no request into the app before `width` of them are there, all at once.

    Inside `PayiMiddleware`, it shows that so many requests were in force at the same time.
    """

    def __init__(self, app: ASGIApp, width: int) -> None:
        self.app = app
        self._width = width
        self._waiting = 0
        self._open: anyio.Event | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] in ("http", "websocket"):
            self._open = self._open or anyio.Event()
            self._waiting += 1
            if self._waiting == self._width:
                self._open.set()
            with anyio.fail_after(_SECONDS):
                await self._open.wait()
        await self.app(scope, receive, send)
