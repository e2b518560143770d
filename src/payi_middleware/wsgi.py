"""The WSGI door: `PayiWSGIMiddleware` for Flask, Django and any other WSGI application."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from .calls import wait
from .context import Frame, InForce, RequestScope, swap
from .identity import Identity, Incoming, Source
from .log import warn
from .meter import Meter, install
from .responding import decorated
from .settings import Settings

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
        outside = swap(InForce(Frame(scope)))
        try:
            body = self.app(environ, _Starter(self.meter, scope, environ, start_response))
        except BaseException:
            scope.close()
            raise
        finally:
            inside = swap(outside)
        if _runs_no_code(body, environ):
            scope.close()
            return body
        return _Body(body, scope, inside)


def _runs_no_code(body: Iterable[bytes], environ: WSGIEnvironment) -> bool:
    """Tell bodies that servers treat specially: a list of known length, and the server's own file wrapper."""
    file_wrapper = environ.get("wsgi.file_wrapper")
    return isinstance(body, (list, tuple)) or (isinstance(file_wrapper, type) and isinstance(body, file_wrapper))


class _Starter:
    """One request's `start_response`."""

    __slots__ = ("_environ", "_meter", "_scope", "_start")

    def __init__(self, meter: Meter, scope: RequestScope, environ: WSGIEnvironment, start: StartResponse) -> None:
        self._meter = meter
        self._scope = scope
        self._environ = environ
        self._start = start

    def __call__(self, status: str, headers: list[tuple[str, str]], exc_info: Any = None) -> Callable[[bytes], object]:
        try:
            if self._meter.headers_mode(self._environ) != "off":
                self._wait()
                headers = decorated(self._scope, int(status[:3]), headers, cross_origin="HTTP_ORIGIN" in self._environ)
        except Exception as error:  # noqa: BLE001 - fail open: the response goes out without our headers
            warn("headers", "A response went out without its X-Payi-* headers: %s", type(error).__name__)
        return self._start(status, headers) if exc_info is None else self._start(status, headers, exc_info)

    def _wait(self) -> None:
        if not self._scope.identified:
            self._scope.settle_identity()
        seconds = self._meter.settings.header_wait
        if seconds and self._meter.available and (due := self._scope.due):
            wait(due, seconds)


class _Body:
    """A response's iterable: the request is in force while a step of it runs, and not between the steps.

    Args:
        body: the app's own.
        scope: the request.
        inside: what the app left in force; a body may leave something else at the end of each step.
    """

    __slots__ = ("_body", "_inside", "_iterator", "_scope")

    def __init__(self, body: Iterable[bytes], scope: RequestScope, inside: InForce | None) -> None:
        self._body = body
        self._scope = scope
        self._inside = inside
        self._iterator: Iterator[bytes] | None = None

    def __iter__(self) -> Iterator[bytes]:
        return self

    def __next__(self) -> bytes:
        outside = swap(self._inside)
        try:
            if self._iterator is None:
                self._iterator = iter(self._body)
            return next(self._iterator)
        finally:
            self._inside = swap(outside)

    def close(self) -> None:
        """End the response; servers call it whether or not the body was read to its end (PEP 3333)."""
        outside = swap(self._inside)
        try:
            if (close := getattr(self._body, "close", None)) is not None:
                close()
        finally:
            swap(outside)
            self._scope.close()


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
