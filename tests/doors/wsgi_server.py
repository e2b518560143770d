"""The server's side of WSGI, step by step."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from wsgiref.util import setup_testing_defaults

import httpx

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIApplication, WSGIEnvironment


def environ_of(path: str = "/", **variables: Any) -> WSGIEnvironment:
    """Make the environ of a request from the loopback; `HTTP_ORIGIN=...` and the like add to it."""
    environ: WSGIEnvironment = {"SCRIPT_NAME": "", "PATH_INFO": path, "QUERY_STRING": "", "REMOTE_ADDR": "127.0.0.1"}
    setup_testing_defaults(environ)
    environ.update(variables)
    return environ


@dataclass
class Exchange:
    """One request as the server sees it; the app runs when this is made, its body when it is iterated.

    Args:
        app: the application.
        environ: the request.
    """

    app: WSGIApplication
    environ: WSGIEnvironment = field(default_factory=environ_of)
    status: str | None = None
    headers: httpx.Headers = field(default_factory=httpx.Headers)
    exc_info: list[Any] = field(default_factory=list)
    written: list[bytes] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.body: Iterable[bytes] = self.app(self.environ, self._start)
        self._pieces: Iterator[bytes] | None = None

    def _start(self, status: str, headers: list[tuple[str, str]], exc_info: Any = None) -> Callable[[bytes], object]:
        self.status, self.headers = status, httpx.Headers(headers)
        self.exc_info.append(exc_info)
        return self.written.append

    def step(self) -> bytes:
        """Read the next piece of the body."""
        if self._pieces is None:
            self._pieces = iter(self.body)
        return next(self._pieces)

    def finish(self) -> bytes:
        """Read the rest, and close."""
        try:
            return b"".join(self.body if self._pieces is None else self._pieces)
        finally:
            self.close()

    def close(self) -> None:
        """End the response, as servers do also when the client went away."""
        if (close := getattr(self.body, "close", None)) is not None:
            close()
