"""Which endpoint a path means. Paths are split before they are decoded: an id may hold `/`, `+`, `:` or a space."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote, unquote

from pydantic import BaseModel
from starlette.responses import Response
from starlette.types import Scope

from payi_middleware.service.errors import ServiceError, invalid

from .reading import Body, Query

__all__ = ["ANY", "JSON", "Endpoint", "Route", "Told", "find", "raw_segments"]

Endpoint = Callable[..., Awaitable[Response]]
ANY = "*"
"""Any method."""
_REST = "{*}"


JSON = "application/json"


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """What the API's description says of an endpoint, and nothing else does.

    Args:
        body: the type of a body that the endpoint reads itself.
        body_required: whether there has to be one.
        headers: a model of the headers that it heeds, by their aliases.
        media_type: of its answer.
        passes_on: it answers what a provider answers.
    """

    body: Any = None
    body_required: bool = True
    headers: type[BaseModel] | None = None
    media_type: str = JSON
    passes_on: bool = False


@dataclass(frozen=True, slots=True)
class Route:
    """An endpoint.

    Args:
        method: or `ANY`.
        path: its segments in braces are the endpoint's arguments, in order, decoded. `{*}` at the end stands for
            whatever follows, which is no argument.
        endpoint: is called with the `Call`, the path's arguments, the query and the body, if there are models of these.
        open: it needs no key.
        query, body: the models by which query and JSON body are read.
        answer: the type of the JSON that it answers with; None where it answers 204, with nothing.
        errors: the codes of the errors that are its own, by status. Those that any endpoint may answer are not listed.
        told: see `Told`.
    """

    method: str
    path: str
    endpoint: Endpoint
    open: bool = False
    query: type[Query] | None = None
    body: type[Body] | None = None
    answer: Any = None
    errors: Mapping[int, Sequence[str]] = field(default_factory=dict)
    told: Told = Told()
    _pattern: tuple[str, ...] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_pattern", tuple(self.path.split("/")[1:]))

    def match(self, segments: list[str]) -> list[str] | None:
        """Return the arguments a path holds, or None if it is another path."""
        pattern = self._pattern
        if pattern[-1] == _REST:
            pattern = pattern[:-1]
            segments = segments[: len(pattern)]
        if len(pattern) != len(segments):
            return None
        arguments = []
        for expected, segment in zip(pattern, segments, strict=True):
            if expected.startswith("{") and segment:
                arguments.append(unquote(segment))
            elif expected != segment:
                return None
        return arguments


def find(routes: Iterable[Route], segments: list[str], method: str) -> tuple[Route, list[str]]:
    """Return the endpoint of a request and its arguments. HEAD is answered as GET, whose body the server leaves out.

    Raises:
        ServiceError: 404, no such path; 405, the path knows other methods only; 400, it holds a character that cannot
            be part of any id.
    """
    known: list[str] = []
    for route in routes:
        if (arguments := route.match(segments)) is None:
            continue
        known += ["GET", "HEAD"] if route.method == "GET" else [route.method]
        if route.method in (method, ANY) or (route.method == "GET" and method == "HEAD"):
            if any("\0" in argument for argument in arguments):
                raise invalid("the path has characters that no id has")
            return route, arguments
    if known:
        raise ServiceError(405, "request_processing_error", f"{method} is not allowed here", allow=known)
    raise ServiceError(404, "request_processing_error", "there is nothing at this path")


def raw_segments(scope: Scope) -> list[str]:
    """Return the path's segments as they were sent, without the prefix the app is mounted at."""
    raw = scope.get("raw_path") or quote(scope["path"]).encode()
    segments: list[str] = raw.decode("latin-1").partition("?")[0].split("/")[1:]
    mounted = [segment for segment in scope.get("root_path", "").split("/") if segment]
    if [unquote(segment) for segment in segments[: len(mounted)]] == mounted:
        return segments[len(mounted) :]
    return segments
