"""Middlewares that do nothing: what any pure ASGI middleware, and any of Starlette's `BaseHTTPMiddleware`, costs."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from benchmarks.peers.tools.base import App, Tool


class Nothing(Tool):
    """One of them, by the option `kind`."""

    def asgi(self, app: App) -> App:
        """Put it around an app."""
        if self.options["kind"] == "starlette":
            from starlette.middleware.base import BaseHTTPMiddleware

            async def dispatch(request: Any, call_next: Any) -> Any:
                return await call_next(request)

            return BaseHTTPMiddleware(app, dispatch)

        async def pure(scope: Any, receive: Any, send: Any) -> None:
            await app(scope, receive, send)

        return pure

    def in_headers(self, headers: Iterable[tuple[bytes, bytes]]) -> bool:
        """There is nothing to see."""
        return True


TOOL = Nothing
