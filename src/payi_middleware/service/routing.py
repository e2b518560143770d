"""Which endpoint a path means. Paths are split before they are decoded: an id may hold `/`, `+`, `:` or a space."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from urllib.parse import quote, unquote

from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Scope

from .errors import ServiceError

Endpoint = Callable[..., Awaitable[Response]]


@dataclass(frozen=True, slots=True)
class Route:
    """An endpoint. Segments in braces of `path` are its arguments, in order, decoded."""

    method: str
    path: str
    endpoint: Endpoint

    def match(self, segments: list[str]) -> list[str] | None:
        """Return the arguments a path holds, or None if it is another path."""
        pattern = self.path.split("/")[1:]
        if len(pattern) != len(segments):
            return None
        arguments = []
        for expected, segment in zip(pattern, segments, strict=True):
            if expected.startswith("{") and segment:
                arguments.append(unquote(segment))
            elif expected != segment:
                return None
        return arguments


async def dispatch(routes: tuple[Route, ...], request: Request) -> Response:
    """Call the endpoint of a request.

    Raises:
        ServiceError: 404, no such path; 405, the path knows other methods only.
    """
    segments = raw_segments(request.scope)
    known = False
    for route in routes:
        if (arguments := route.match(segments)) is None:
            continue
        known = True
        if route.method == request.method:
            return await route.endpoint(request, *arguments)
    if known:
        raise ServiceError(405, "request_processing_error", f"{request.method} is not allowed here")
    raise ServiceError(404, "request_processing_error", "there is nothing at this path")


def raw_segments(scope: Scope) -> list[str]:
    """Return the path's segments as they were sent, without the prefix the app is mounted at."""
    raw = scope.get("raw_path") or quote(scope["path"]).encode()
    segments: list[str] = raw.decode("latin-1").partition("?")[0].split("/")[1:]
    mounted = [segment for segment in scope.get("root_path", "").split("/") if segment]
    if [unquote(segment) for segment in segments[: len(mounted)]] == mounted:
        return segments[len(mounted) :]
    return segments
