"""The ASGI door: `PayiMiddleware` for FastAPI, Starlette and any other ASGI application."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, MutableMapping, Sequence
from functools import lru_cache
from typing import Any

from .blocking import blocked_answer, refused
from .calls import Call, await_settled
from .context import Frame, RequestScope, put_in_force
from .exceptions import ConfigurationError
from .identity import Identity, Source
from .identity.request import loop_runs_here
from .log import warn
from .meter import Meter, install
from .responding import HeaderList, decorated, decorated_raw, exposing, is_streaming
from .settings import Settings
from .streaming.asgi_results import AsgiAnswer
from .streaming.earlier import Entry
from .streaming.ending import Ending
from .streaming.events import tail_of
from .streaming.late import Late, is_wanted
from .streaming.trailers import EXTENSION, accepts_trailers, announced
from .waking import import_anyio

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
        import_anyio()
        self.app = app
        self._own_identity = identity is not None
        self._meter: Meter | None = None
        self._error: ConfigurationError | None = None
        self._late: Late | None = None
        try:
            self._meter = install(settings)
            self._identity = Identity(identity, self._meter.settings)
            self._late = Late(self._meter, awaits=True) if is_wanted(self._meter.settings) else None
            self._only_listens = not self._meter.tells_results and self._meter.settings.blocked_status is None
        except ConfigurationError as error:
            if not loop_runs_here():
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
                outer.identifications.append(self._identity.of(scope, AsgiIncoming))
            await self.app(scope, receive, send)
        elif self._only_listens:
            request = _begun(meter, self._identity, scope)
            in_force = put_in_force(Frame(request))
            try:
                await self.app(scope, receive, send)
            finally:
                in_force.take_off()
                request.close()
        else:
            await _Request(meter, self._identity, self._late, scope, send).serve(self.app, receive)

    async def _lifespan(self, scope: Scope, receive: Receive, send: Send) -> None:
        if self._error is not None:
            await receive()
            await send({"type": "lifespan.startup.failed", "message": f"payi-middleware: {self._error}"})
            return

        async def send_flushed(message: Message) -> None:
            if message["type"] in ("lifespan.shutdown.complete", "lifespan.shutdown.failed") and self._meter:
                from anyio.to_thread import run_sync

                await run_sync(self._meter.close, abandon_on_cancel=True)
                if self._late is not None:
                    await run_sync(self._late.drain, abandon_on_cancel=True)
            await send(message)

        if self._meter:
            self._meter.open()
        await self.app(scope, receive, send_flushed)


def _begun(meter: Meter, identity: Identity, scope: Scope) -> RequestScope:
    """Begin a request or a connection, and show it to whoever has its scope."""
    request = meter.new_scope()
    request.identifications.append(identity.of(scope, AsgiIncoming))
    scope[SCOPE_KEY] = request
    scope.setdefault("state", {})["payi"] = request
    return request


class _Request:
    """One http request or websocket connection that gets something from us: headers, an event, an answer."""

    __slots__ = ("_ending", "_entry", "_late", "_meter", "_presence", "_request", "_scope", "_send")

    def __init__(self, meter: Meter, identity: Identity, late: Late | None, scope: Scope, send: Send) -> None:
        self._meter = meter
        self._late = late
        self._scope = scope
        self._send = send
        self._ending: Ending | None = None
        self._entry: Entry | None = None
        self._presence = meter.presence
        self._request = _begun(meter, identity, scope)

    async def serve(self, app: ASGIApp, receive: Receive) -> None:
        late = self._late
        told = self._meter.tells_results
        send: Send = self._send_decorated if told else self._send
        if self._scope["type"] == "http":
            if late is not None and (answer := self._results(late)) is not None:
                send = answer.send
            elif self._meter.settings.blocked_status is not None and await self._answered():
                return
        in_force = put_in_force(Frame(self._request))
        if told:
            self._presence.come(self)
        try:
            await app(self._scope, receive, send)
        finally:
            if told:
                self._presence.go(self)
            in_force.take_off()
            self._request.close()
            if late is not None:
                await late.aend(self._request, self._entry, self._scope)

    def _results(self, late: Late) -> AsgiAnswer | None:
        """Return what answers the request, if it asks what an earlier one cost."""
        scope = self._scope
        asked = late.asked_id(scope["method"], scope.get("root_path", ""), scope["path"])
        return None if asked is None else AsgiAnswer(late, asked, self._request, self._send)

    async def _answered(self) -> bool:
        """Answer in the app's place if the limits of all its calls refuse them."""
        status = self._meter.settings.blocked_status
        if status is None or not (limit_ids := self._meter.refusing(self._request)):
            return False
        headers, body = blocked_answer(status, limit_ids, summary=self._meter.headers_mode(self._scope) != "off")
        if self._is_cross_origin:
            headers = exposing(headers)
        await self._send({"type": "http.response.start", "status": status, "headers": _encoded(headers)})
        await self._send({"type": "http.response.body", "body": body})
        self._request.close()
        if self._late is not None:
            await self._late.arefuse(refused(limit_ids), self._scope)
        return True

    async def _send_decorated(self, message: Message) -> None:
        # What waits is here, and nothing that waits is called for it: each level would be one more thing in memory.
        if message["type"] in _RESPONSE_STARTS:
            try:
                request, late = self._request, self._late
                shown = self._meter.headers_mode(self._scope) != "off"
                if shown and not request.identified:
                    await request.asettle_identity()
                if shown and (due := self._due()):
                    self._presence.wait(self)
                    try:
                        await await_settled(due, self._meter.settings.header_wait)
                    finally:
                        self._presence.go_on(self)
                if late is not None and late.answers:
                    await request.asettle_identity()
                    self._entry = late.begin(request)
                message = self._decorated(message, shown=shown)
            except Exception as error:  # noqa: BLE001 - fail open: the response goes out without our headers
                warn("headers", "A response went out without its X-Payi-* headers: %s", type(error).__name__)
        elif self._ending is not None:
            await self._ending.send(message)
            return
        await self._send(message)

    def _due(self) -> Sequence[Call]:
        """Return the calls whose results the response waits for."""
        tally = self._request.tally
        if not tally.count or not self._meter.settings.header_wait or not self._meter.available:
            return ()
        return tally.due

    def _decorated(self, message: Message, *, shown: bool) -> Message:
        """Return the message that starts the response with what it is to tell, now that all is known that will be.

        Args:
            shown: its headers have the summary.
        """
        scope, late = self._scope, self._late
        events = self._meter.settings.sse_summary
        if not shown and not events:
            return message
        follows = events or late is not None or EXTENSION in (scope.get("extensions") or ())
        if not follows and not self._is_cross_origin:
            raw = decorated_raw(self._request, message["status"], message.get("headers", ()))
            return {**message, "headers": raw}
        own = [(name.decode("latin-1"), value.decode("latin-1")) for name, value in message.get("headers", ())]
        begun = message
        if shown:
            more = [] if late is None else late.headers(self._entry, scope.get("root_path", ""))
            headers = decorated(self._request, message["status"], own, cross_origin=self._is_cross_origin, more=more)
            message = {**message, "headers": _encoded(headers)}
        if events or EXTENSION in (scope.get("extensions") or ()):
            message = self._with_end(begun, message, own, shown=shown)
        return message

    @property
    def _is_cross_origin(self) -> bool:
        return b"origin" in [name for name, _ in self._scope["headers"]]

    def _with_end(self, begun: Message, message: Message, own: HeaderList, *, shown: bool) -> Message:
        """Prepare what follows the last byte of the body.

        Args:
            begun: the app's message that starts the response;
            message: the one that is sent.
        """
        scope, settings = self._scope, self._meter.settings
        if scope["type"] != "http":
            return message
        trailers = shown and settings.trailers and accepts_trailers(scope) and is_streaming(message["status"], own)
        wanted = settings.sse_summary
        tail = None
        if wanted and (wanted is True or wanted(scope)):
            tail = tail_of(scope["method"], message["status"], own)
        if trailers or tail is not None:
            tally = self._request.tally
            self._ending = Ending(begun, tally, self._send, patience=self._patience, trailers=trailers, tail=tail)
        return {**message, "trailers": True, "headers": announced(scope, message["headers"])} if trailers else message

    def _patience(self) -> float:
        return self._meter.settings.stream_wait if self._meter.available else 0.0


class AsgiIncoming:
    """One request as the identity sources see it. What inner layers fill in is read when it is asked for."""

    __slots__ = ("_names", "original")

    def __init__(self, scope: Any) -> None:
        self.original = scope
        self._names: bytes | None = None

    def _named(self) -> bytes:
        """Return the names of all headers, each between line breaks: few requests have any that is looked for."""
        self._names = names = b"\n".join((b"", *dict(self.original["headers"]), b"")).lower()
        return names

    @property
    def peer(self) -> str | None:
        """The address of the direct peer."""
        client = self.original.get("client")
        return str(client[0]) if client else None

    def header(self, name: str) -> str | None:
        """The first value of a request header."""
        wanted, marked = _key(name)
        if marked not in (self._names or self._named()):
            return None
        length = len(wanted)
        for key, value in self.original["headers"]:
            if key == wanted or (len(key) == length and key.lower() == wanted):
                return decode_header(value)
        return None

    def mentions(self, prefix: str) -> bool:
        """Whether there are headers whose names begin like this."""
        return _key(prefix)[1][:-1] in (self._names or self._named())

    @property
    def user(self) -> object | None:
        """The user that the app's authentication put into the scope."""
        user: object | None = self.original.get("user")
        return user

    @property
    def session(self) -> Mapping[str, Any] | None:
        """The session that the app's session middleware put into the scope."""
        session = self.original.get("session")
        return session if session is not None and isinstance(session, Mapping) else None

    @property
    def route(self) -> str | None:
        """The template of the matched route, mounts included."""
        path = getattr(self.original.get("route"), "path", None)
        return None if path is None else f"{self.original.get('root_path', '')}{path}"


@lru_cache(maxsize=256)
def _key(name: str) -> tuple[bytes, bytes]:
    """Return a header's name as it is compared, and as it is among all names."""
    key = name.lower().encode("latin-1")
    return key, b"\n%s\n" % key


def decode_header(value: bytes) -> str:
    """Decode a header's value: UTF-8 if it is that, else Latin-1, in which every byte is a character."""
    try:
        return value.decode("utf-8")
    except UnicodeDecodeError:
        return value.decode("latin-1")


def _encoded(headers: HeaderList) -> list[tuple[bytes, bytes]]:
    return [(name.lower().encode("latin-1"), value.encode("latin-1")) for name, value in headers]
