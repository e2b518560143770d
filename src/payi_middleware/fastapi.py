"""The FastAPI and Starlette door: `instrument_app`, the middleware around everything else of the app."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from starlette.applications import Starlette
from starlette.datastructures import Headers
from starlette.middleware.cors import CORSMiddleware
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from .asgi import PayiMiddleware
from .identity import Identity, Source
from .meter import install
from .settings import Settings
from .streaming.late import Late

_MARK = "_payi_instrumented"


def instrument_app(
    app: Starlette,
    settings: Settings | None = None,
    identity: Sequence[Source | Callable[..., Any]] | None = None,
) -> None:
    """Put `PayiMiddleware` around a FastAPI or Starlette app, outside its error handling and all other middleware.

    There the answers to unhandled errors carry the headers too, and the headers are exposed to scripts of other
    origins whatever order the app's own middleware has. Where the app has a `CORSMiddleware`, its policy is applied
    to the answers to unhandled errors as well, which Starlette leaves without one. Calling it again changes nothing.

    Args:
        app: the application; it may have served requests already.
        settings, identity: as for `PayiMiddleware`.

    Raises:
        ConfigurationError: a setting is wrong.
    """
    if getattr(app, _MARK, False):
        return
    meter = install(settings)  # what is wrong is an error here, not when the server starts
    Identity(identity, meter.settings)
    Late(meter, awaits=True)
    build = app.build_middleware_stack

    def build_outermost() -> ASGIApp:
        return _around(app, build(), settings, identity)

    app.build_middleware_stack = build_outermost  # type: ignore[method-assign]
    if app.middleware_stack is not None:
        app.middleware_stack = _around(app, app.middleware_stack, settings, identity)
    setattr(app, _MARK, True)


def _around(
    app: Starlette, stack: ASGIApp, settings: Settings | None, identity: Sequence[Source | Callable[..., Any]] | None
) -> ASGIApp:
    own: Any
    for own in app.user_middleware:
        if isinstance(own.cls, type) and issubclass(own.cls, CORSMiddleware):
            stack = _CorsOnErrors(stack, own.cls(stack, *own.args, **own.kwargs))
            break
    return PayiMiddleware(stack, settings, identity)


class _CorsOnErrors:
    """Applies the app's CORS policy to the answers that Starlette gives to unhandled errors, outside that policy."""

    def __init__(self, app: ASGIApp, policy: CORSMiddleware) -> None:
        self._app = app
        self._policy = policy

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or "origin" not in (request_headers := Headers(scope=scope)):
            await self._app(scope, receive, send)
            return

        async def send_with_policy(message: Message) -> None:
            if message["type"] == "http.response.start" and message["status"] == 500:
                response_headers = Headers(raw=message.get("headers", []))
                if "access-control-allow-origin" not in response_headers:
                    await self._policy.send(message, send, request_headers)
                    return
            await send(message)

        await self._app(scope, receive, send_with_policy)
