"""How a door puts a request's summary into its response's headers, whatever the protocol."""

from __future__ import annotations

from collections.abc import Iterable

from .context import RequestScope
from .headers import write_summary

EXPOSE = "Access-Control-Expose-Headers"
_PREFIX = "x-payi-"
_BODILESS = frozenset({204, 205, 304})

HeaderList = list[tuple[str, str]]


def decorated(
    scope: RequestScope, status: int, headers: Iterable[tuple[str, str]], *, cross_origin: bool
) -> HeaderList:
    """Return a response's headers with the request's summary among them.

    Args:
        scope: the request.
        status: the response's status; some have no body that could still make calls (RFC 9110, section 6.4.1).
        headers: the response's own headers.
        cross_origin: the request has an `Origin`: scripts may read only what is exposed to them
            (https://fetch.spec.whatwg.org/#http-access-control-expose-headers).
    """
    kept = [(name, value) for name, value in headers if not name.lower().startswith(_PREFIX)]
    streaming = status not in _BODILESS and not any(name.lower() == "content-length" for name, _ in kept)
    ours = write_summary(scope.summary(streaming=streaming))
    if cross_origin:
        kept = _exposing(kept, [name for name, _ in ours])
    return kept + ours


def _exposing(headers: HeaderList, names: list[str]) -> HeaderList:
    exposed = [value for name, value in headers if name.lower() == EXPOSE.lower()]
    already = {part.strip().lower() for value in exposed for part in value.split(",")}
    if "*" in already:
        return headers
    rest = [(name, value) for name, value in headers if name.lower() != EXPOSE.lower()]
    return [*rest, (EXPOSE, ", ".join([*exposed, *(name for name in names if name.lower() not in already)]))]
