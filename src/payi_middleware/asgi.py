"""The ASGI door: `PayiMiddleware` for FastAPI, Starlette and any other ASGI application."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, MutableMapping, Sequence
from typing import Any

import anyio
import anyio.lowlevel
import anyio.to_thread

from .calls import await_settled
from .context import Frame, RequestScope, bind
from .exceptions import ConfigurationError
from .identity import Identity, Source
from .log import warn
from .meter import Meter, install
from .responding import decorated
from .settings import Settings

# Starlette's own aliases, so that type checkers accept the middleware where Starlette expects one.
Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
ASGIApp = Callable[[Scope, Receive, Send], Awaitable[None]]

SCOPE_KEY = "payi.scope"
_RESPONSE_STARTS = ("http.response.start", "websocket.http.response.start")


class PayiMiddleware:
    """Know, per request, what its provider calls cost and who asked for them.

    Each http request and websocket connection gets a scope of its own, reachable as `request.state.payi`. The
    response's headers carry the summary. Lifespan events are passed on; at shutdown what is not reported yet is
    delivered. Added twice, or in a mounted app, it counts once, and the inner one only adds its identity sources.

    Args:
        app: the ASGI application.
        settings: how to behave; None takes the environment's.
        identity: where the request's user and session come from; None takes the authenticated user, the framework's
            session and, from trusted peers, headers.

    Raises:
        ConfigurationError: a setting is wrong. Where the middleware is made while the server runs already, as
            Starlette does, the error fails the application's start-up instead.
    """

    def __init__(
        self,
        app: ASGIApp,
        settings: Settings | None = None,
        identity: Sequence[Source | Callable[..., Any]] | None = None,
    ) -> None:
        self.app = app
        self._own_identity = identity is not None
        self._meter: Meter | None = None
        self._error: ConfigurationError | None = None
        try:
            self._meter = install(settings)
            self._identity = Identity(identity, self._meter.settings)
        except ConfigurationError as error:
            if not _in_event_loop():
                raise
            self._error = error  # raised here, the server would take it for an app without lifespan support

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        meter = self._meter
        if scope["type"] == "lifespan":
            await self._lifespan(scope, receive, send)
        elif self._error is not None or meter is None:
            raise self._error or RuntimeError("the middleware was not set up")
        elif scope["type"] not in ("http", "websocket"):
            await self.app(scope, receive, send)
        elif not meter.settings.enabled:
            scope.setdefault("state", {}).setdefault("payi", RequestScope())  # handlers that use it go on working
            await self.app(scope, receive, send)
        elif isinstance(outer := scope.get(SCOPE_KEY), RequestScope):
            if self._own_identity:
                outer.identifications.append(self._identity.of(AsgiIncoming(scope)))
            await self.app(scope, receive, send)
        else:
            await _Request(meter, self._identity, scope, send).serve(self.app, receive)

    async def _lifespan(self, scope: Scope, receive: Receive, send: Send) -> None:
        if self._error is not None:
            await receive()
            await send({"type": "lifespan.startup.failed", "message": f"payi-middleware: {self._error}"})
            return

        async def send_flushed(message: Message) -> None:
            if message["type"] in ("lifespan.shutdown.complete", "lifespan.shutdown.failed") and self._meter:
                await anyio.to_thread.run_sync(self._meter.close, abandon_on_cancel=True)
            await send(message)

        if self._meter:
            self._meter.open()
        await self.app(scope, receive, send_flushed)


class _Request:
    """One http request or websocket connection."""

    def __init__(self, meter: Meter, identity: Identity, scope: Scope, send: Send) -> None:
        self._meter = meter
        self._scope = scope
        self._send = send
        self._request = meter.new_scope()
        self._request.identifications.append(identity.of(AsgiIncoming(scope)))
        scope[SCOPE_KEY] = self._request
        scope.setdefault("state", {})["payi"] = self._request

    async def serve(self, app: ASGIApp, receive: Receive) -> None:
        unbind = bind(Frame(self._request))
        try:
            await app(self._scope, receive, self._send_decorated)
        finally:
            unbind()
            self._request.close()

    async def _send_decorated(self, message: Message) -> None:
        if message["type"] in _RESPONSE_STARTS:
            message = await self._decorated(message)
        await self._send(message)

    async def _decorated(self, message: Message) -> Message:
        try:
            if self._meter.headers_mode(self._scope) == "off":
                return message
            await self._wait()
            own = [(name.decode("latin-1"), value.decode("latin-1")) for name, value in message.get("headers", ())]
            cross_origin = any(name == b"origin" for name, _ in self._scope["headers"])
            headers = decorated(self._request, message["status"], own, cross_origin=cross_origin)
            encoded = [(name.lower().encode("latin-1"), value.encode("latin-1")) for name, value in headers]
        except Exception as error:  # noqa: BLE001 - fail open: the response goes out without our headers
            warn("headers", "A response went out without its X-Payi-* headers: %s", type(error).__name__)
            return message
        return {**message, "headers": encoded}

    async def _wait(self) -> None:
        request = self._request
        if not request.identified:
            await request.asettle_identity()
        seconds = self._meter.settings.header_wait
        if seconds and self._meter.available and (due := request.due):
            await await_settled(due, seconds)


class AsgiIncoming:
    """One request as the identity sources see it. What inner layers fill in is read when it is asked for."""

    __slots__ = ("original",)

    def __init__(self, scope: Any) -> None:
        self.original = scope

    @property
    def peer(self) -> str | None:
        """The address of the direct peer."""
        client = self.original.get("client")
        return str(client[0]) if client else None

    def header(self, name: str) -> str | None:
        """The first value of a request header."""
        wanted = name.lower().encode("latin-1")
        for key, value in self.original["headers"]:
            if key.lower() == wanted:
                return decode_header(value)
        return None

    @property
    def user(self) -> object | None:
        """The user that the app's authentication put into the scope."""
        user: object | None = self.original.get("user")
        return user

    @property
    def session(self) -> Mapping[str, Any] | None:
        """The session that the app's session middleware put into the scope."""
        session = self.original.get("session")
        return session if isinstance(session, Mapping) else None

    @property
    def route(self) -> str | None:
        """The template of the matched route, mounts included."""
        path = getattr(self.original.get("route"), "path", None)
        return None if path is None else f"{self.original.get('root_path', '')}{path}"


def decode_header(value: bytes) -> str:
    """Decode a header's value: UTF-8 if it is that, else Latin-1, in which every byte is a character."""
    try:
        return value.decode("utf-8")
    except UnicodeDecodeError:
        return value.decode("latin-1")


def _in_event_loop() -> bool:
    try:
        anyio.lowlevel.current_token()
    except RuntimeError:
        return False
    return True
