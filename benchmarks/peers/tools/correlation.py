"""asgi-correlation-id and starlette-context: an id for each request, and in the response's headers."""

from __future__ import annotations

from collections.abc import Iterable

from benchmarks.peers.tools.base import App, Tool


class Correlation(Tool):
    """One of them, by the option `kind`."""

    def asgi(self, app: App) -> App:
        """Put it around an app."""
        if self.options["kind"] == "asgi-correlation-id":
            from asgi_correlation_id import CorrelationIdMiddleware

            correlated: App = CorrelationIdMiddleware(app)
            return correlated
        from starlette_context.middleware import RawContextMiddleware
        from starlette_context.plugins import RequestIdPlugin

        in_context: App = RawContextMiddleware(app, plugins=(RequestIdPlugin(),))
        return in_context

    def in_headers(self, headers: Iterable[tuple[bytes, bytes]]) -> bool:
        """The id is there."""
        return any(name.lower() == b"x-request-id" for name, _ in headers)


TOOL = Correlation
