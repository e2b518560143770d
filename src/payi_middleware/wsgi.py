"""The WSGI door: `PayiWSGIMiddleware` for Flask, Django and any other WSGI application."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from .blocking import blocked_answer, refused
from .calls import wait
from .context import Frame, InForce, RequestScope, swap
from .identity import Identity, Incoming, Source
from .log import warn
from .meter import Meter, install
from .responding import HeaderList, decorated, exposing
from .settings import Settings
from .streaming.earlier import Entry
from .streaming.events import EventTail, tail_of
from .streaming.late import Late, is_wanted
from .streaming.wsgi_results import WsgiAnswer

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

SCOPE_KEY = "payi.scope"
INCOMING_KEY = "payi.incoming"


class PayiWSGIMiddleware:
    """Know, per request, what its provider calls cost and who asked for them.

    The request's scope is in `environ["payi.scope"]` and lives until the response's iterable is closed, so that
    bodies that call a provider while they are streamed are counted. Added twice, it counts once.

    Args:
        app: the WSGI application.
        settings: how to behave; None takes the environment's.
        identity: where the request's user and session come from; None takes the authenticated user, the framework's
            session and, from trusted peers, headers.
        incoming: makes the view of a request that the identity sources get.

    Raises:
        ConfigurationError: a setting is wrong.
    """

    def __init__(
        self,
        app: WSGIApplication,
        settings: Settings | None = None,
        identity: Sequence[Source | Callable[..., Any]] | None = None,
        *,
        incoming: Callable[[WSGIEnvironment], Incoming] | None = None,
    ) -> None:
        self.app = app
        self.meter: Meter = install(settings)
        self._own_identity = identity is not None
        self._identity = Identity(identity, self.meter.settings)
        self._incoming = incoming or WsgiIncoming
        self._opened = False
        self._late = Late(self.meter, awaits=False) if is_wanted(self.meter.settings) else None

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        if not self.meter.settings.enabled:
            environ.setdefault(SCOPE_KEY, RequestScope())  # handlers that use it go on working
            return self.app(environ, start_response)
        if isinstance(outer := environ.get(SCOPE_KEY), RequestScope):
            if self._own_identity:
                outer.identifications.append(self._identity.of(self._incoming(environ)))
            return self.app(environ, start_response)
        if not self._opened:  # at the first request, not before: servers fork their workers after the app was made
            self._opened = True
            self.meter.open()
        scope = environ[SCOPE_KEY] = self.meter.new_scope()
        incoming = environ[INCOMING_KEY] = self._incoming(environ)
        scope.identifications.append(self._identity.of(incoming))
        request = _Request(self.meter, scope, environ, start_response, self._late)
        results = self._results(scope, environ, start_response)
        limited = results is None and self.meter.settings.blocked_status is not None
        if limited and (answer := self._answer(scope, environ, start_response)):
            return answer
        request.begin()
        outside = swap(InForce(Frame(scope)))
        try:
            body = self.app(environ, request.start if results is None else results)
        except BaseException:
            request.end()
            raise
        finally:
            inside = swap(outside)
        if results is not None:
            body = results.body(body)
        elif _runs_no_code(body, environ) and request.tail is None:
            request.end()
            return body
        return _Body(body, request, inside)

    def _results(
        self, scope: RequestScope, environ: WSGIEnvironment, start_response: StartResponse
    ) -> WsgiAnswer | None:
        """Return what answers the request, if it asks what an earlier one cost."""
        late = self._late
        if late is None:
            return None
        asked = late.asked_id(environ["REQUEST_METHOD"], "", environ.get("PATH_INFO", ""))
        return None if asked is None else WsgiAnswer(late, asked, scope, start_response)

    def _answer(self, scope: RequestScope, environ: WSGIEnvironment, start_response: StartResponse) -> list[bytes]:
        """Answer in the app's place if the limits of all its calls refuse them; else return nothing."""
        status, limit_ids = self.meter.settings.blocked_status, self.meter.refusing(scope)
        if status is None or not limit_ids:
            return []
        headers, body = blocked_answer(status, limit_ids, summary=self.meter.headers_mode(environ) != "off")
        if "HTTP_ORIGIN" in environ:
            headers = exposing(headers)
        start_response(f"{status} {HTTPStatus(status).phrase}", headers)
        scope.close()
        environ.pop(INCOMING_KEY, None)
        if self._late is not None:
            self._late.refuse(refused(limit_ids), environ)
        return [body]


def _runs_no_code(body: Iterable[bytes], environ: WSGIEnvironment) -> bool:
    """Tell bodies that servers treat specially: a list of known length, and the server's own file wrapper."""
    file_wrapper = environ.get("wsgi.file_wrapper")
    return isinstance(body, (list, tuple)) or (isinstance(file_wrapper, type) and isinstance(body, file_wrapper))


class _Request:
    """One request, from the start of its response to its end.

    `tail` follows its body, if an event is to be added to it.
    """

    __slots__ = ("_entry", "_environ", "_is_over", "_late", "_meter", "_presence", "_scope", "_start", "tail")

    def __init__(
        self, meter: Meter, scope: RequestScope, environ: WSGIEnvironment, start: StartResponse, late: Late | None
    ) -> None:
        self._meter = meter
        self._scope = scope
        self._environ = environ
        self._start = start
        self._late = late
        self._entry: Entry | None = None
        self._is_over = False
        self._presence = meter.presence
        self.tail: EventTail | None = None

    def begin(self) -> None:
        """Count the request from here on until `end`."""
        self._presence.come(self)

    def start(self, status: str, headers: list[tuple[str, str]], exc_info: Any = None) -> Callable[[bytes], object]:
        """Start the response, in the server's place."""
        own = headers
        try:
            if shown := self._meter.headers_mode(self._environ) != "off":
                self._wait()
            if self._late is not None and self._late.answers and self._entry is None:
                self._scope.settle_identity()
                self._entry = self._late.begin(self._scope)
            if shown:
                headers = self._with_summary(int(status[:3]), headers)
            wanted = self._meter.settings.sse_summary
            if wanted and (wanted is True or wanted(self._environ)):
                self.tail = tail_of(self._environ["REQUEST_METHOD"], int(status[:3]), own)
        except Exception as error:  # noqa: BLE001 - fail open: the response goes out without our headers
            warn("headers", "A response went out without its X-Payi-* headers: %s", type(error).__name__)
        write = self._start(status, headers) if exc_info is None else self._start(status, headers, exc_info)
        return write if self.tail is None else self._following(write)

    def _with_summary(self, status: int, headers: HeaderList) -> HeaderList:
        more: HeaderList = []
        if self._late is not None:
            more = self._late.headers(self._entry, self._environ.get("SCRIPT_NAME", ""))
        return decorated(self._scope, status, headers, cross_origin="HTTP_ORIGIN" in self._environ, more=more)

    def _following(self, write: Callable[[bytes], object]) -> Callable[[bytes], object]:
        def write_and_follow(chunk: bytes) -> object:
            if self.tail is not None:
                self.tail.feed(chunk)
            return write(chunk)

        return write_and_follow

    def _wait(self) -> None:
        if not self._scope.identified:
            self._scope.settle_identity()
        seconds = self._meter.settings.header_wait
        if seconds and self._meter.available and (due := self._scope.due):
            self._presence.wait(self)
            try:
                wait(due, seconds)
            finally:
                self._presence.go_on(self)

    def last_event(self) -> bytes | None:
        """Return what follows the last byte of the body, if anything does."""
        tail, self.tail = self.tail, None
        if tail is None or not tail.between_events:
            return None
        try:
            seconds = self._meter.settings.stream_wait
            if seconds and self._meter.available and (due := self._scope.due):
                wait(due, seconds)
            return tail.event(self._scope.summary())
        except Exception as error:  # noqa: BLE001 - fail open
            warn("ending", "The end of a response went out without its summary: %s", type(error).__name__)
            return None

    def end(self) -> None:
        """End the request; servers may say so more than once."""
        if self._is_over:
            return
        self._is_over = True
        self._presence.go(self)
        self._scope.close()
        self._environ.pop(INCOMING_KEY, None)  # which refers to the environ, too
        if self._late is not None:
            self._late.end(self._scope, self._entry, self._environ)


class _Body:
    """A response's iterable: the request is in force while a step of it runs, and not between the steps.

    Args:
        body: the app's own.
        request: the request.
        inside: what the app left in force; a body may leave something else at the end of each step.
    """

    __slots__ = ("_body", "_inside", "_iterator", "_request")

    def __init__(self, body: Iterable[bytes], request: _Request, inside: InForce | None) -> None:
        self._body = body
        self._request = request
        self._inside = inside
        self._iterator: Iterator[bytes] | None = None

    def __iter__(self) -> Iterator[bytes]:
        return self

    def __next__(self) -> bytes:
        outside = swap(self._inside)
        try:
            if self._iterator is None:
                self._iterator = iter(self._body)
            chunk = next(self._iterator)
        except StopIteration:
            self._iterator = iter(())
            if (event := self._request.last_event()) is None:
                raise
            return event
        finally:
            self._inside = swap(outside)
        if self._request.tail is not None:
            self._request.tail.feed(chunk)
        return chunk

    def close(self) -> None:
        """End the response; servers call it whether or not the body was read to its end (PEP 3333)."""
        outside = swap(self._inside)
        try:
            if (close := getattr(self._body, "close", None)) is not None:
                close()
        finally:
            swap(outside)
            self._request.end()


class WsgiIncoming:
    """One request as the identity sources see it."""

    __slots__ = ("original",)

    def __init__(self, environ: WSGIEnvironment) -> None:
        self.original = environ

    @property
    def peer(self) -> str | None:
        """The address of the direct peer."""
        return self.original.get("REMOTE_ADDR") or None

    def header(self, name: str) -> str | None:
        """The value of a request header: UTF-8 if it is that, else the Latin-1 that PEP 3333 prescribes."""
        value = self.original.get("HTTP_" + name.upper().replace("-", "_"))
        if value is None:
            return None
        try:
            return str(value).encode("latin-1").decode("utf-8")
        except UnicodeError:
            return str(value)

    def mentions(self, prefix: str) -> bool:
        """Whether there are headers whose names begin like this."""
        start = "HTTP_" + prefix.upper().replace("-", "_")
        return any(name.startswith(start) for name in self.original)

    @property
    def user(self) -> object | None:
        """WSGI itself knows no user but the server's `REMOTE_USER`, which is not the app's."""
        return None

    @property
    def session(self) -> Mapping[str, Any] | None:
        """WSGI itself knows no session."""
        return None

    @property
    def route(self) -> str | None:
        """WSGI itself knows no routes."""
        return None
