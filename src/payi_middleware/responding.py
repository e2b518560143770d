"""How a door puts a request's summary into its response's headers, whatever the protocol."""

from __future__ import annotations

from collections.abc import Iterable

from .context import RequestScope
from .headers import SUMMARY_HEADERS, write_summary
from .results import Summary

EXPOSE = "Access-Control-Expose-Headers"
_PREFIX = "x-payi-"
_BODILESS = frozenset({204, 205, 304})

HeaderList = list[tuple[str, str]]

_RAW_PREFIX = _PREFIX.encode()
_RAW_NAMES = {name: name.lower().encode() for name in SUMMARY_HEADERS}
_FINAL, _PENDING = (
    [(name.lower().encode(), value.encode()) for name, value in write_summary(summary)]
    for summary in (Summary(status="final"), Summary(status="pending"))
)


def decorated(
    scope: RequestScope,
    status: int,
    headers: Iterable[tuple[str, str]],
    *,
    cross_origin: bool,
    more: Iterable[tuple[str, str]] = (),
) -> HeaderList:
    """Return a response's headers with the request's summary among them.

    Args:
        scope: the request.
        status: the response's status; some have no body that could still make calls (RFC 9110, section 6.4.1).
        headers: the response's own headers.
        cross_origin: the request has an `Origin`: scripts may read only what is exposed to them
            (https://fetch.spec.whatwg.org/#http-access-control-expose-headers).
        more: headers that go with the summary.
    """
    kept = [(name, value) for name, value in headers if not name.lower().startswith(_PREFIX)]
    ours = [*write_summary(scope.summary(streaming=is_streaming(status, kept))), *more]
    if cross_origin:
        kept = _exposing(kept, [name for name, _ in ours])
    return kept + ours


def decorated_raw(
    scope: RequestScope, status: int, headers: Iterable[tuple[bytes, bytes]]
) -> list[tuple[bytes, bytes]]:
    """Return what `decorated` does where there is no `Origin` and nothing more to be told, as in most requests.

    Args:
        scope: the request.
        status: the response's status.
        headers: the response's own headers, as ASGI has them.
    """
    kept = []
    streaming = status not in _BODILESS
    for raw, value in headers:
        name = raw.lower()
        if name == b"content-length":
            streaming = False
        if not name.startswith(_RAW_PREFIX):
            kept.append((name, value))
    if not scope.tally.count:
        kept += _PENDING if streaming else _FINAL
    else:
        summary = write_summary(scope.summary(streaming=streaming))
        kept += [(_RAW_NAMES[name], value.encode("latin-1")) for name, value in summary]
    return kept


def is_streaming(status: int, headers: Iterable[tuple[str, str]]) -> bool:
    """Return whether a response has a body that may still make calls."""
    return status not in _BODILESS and not any(name.lower() == "content-length" for name, _ in headers)


def _exposing(headers: HeaderList, names: list[str]) -> HeaderList:
    exposed = [value for name, value in headers if name.lower() == EXPOSE.lower()]
    already = {part.strip().lower() for value in exposed for part in value.split(",")}
    if "*" in already:
        return headers
    rest = [(name, value) for name, value in headers if name.lower() != EXPOSE.lower()]
    return [*rest, (EXPOSE, ", ".join([*exposed, *(name for name in names if name.lower() not in already)]))]


def exposing(headers: HeaderList) -> HeaderList:
    """Return headers, all of which scripts of other origins may read."""
    return _exposing(headers, [name for name, _ in headers])
