"""Trailers of HTTP, as ASGI has them: https://asgi.readthedocs.io/en/latest/extensions.html#http-trailers"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from payi_middleware.headers import SUMMARY_HEADERS, write_summary
from payi_middleware.results import Summary

__all__ = ["EXTENSION", "accepts_trailers", "announced", "fields"]

EXTENSION = "http.response.trailers"
_NAMES = ", ".join(name.lower() for name in SUMMARY_HEADERS).encode()
_PREFIX = b"x-payi-"

Fields = list[tuple[bytes, bytes]]


def accepts_trailers(scope: Mapping[str, Any]) -> bool:
    """Return whether both sides know what to do with trailers.

    The client says so with `TE: trailers`, in HTTP/2, too (RFC 9110, section 6.5.1): hypercorn and uvicorn drop what
    they are given for one that does not.
    """
    if EXTENSION not in (scope.get("extensions") or ()) or scope.get("method") == "HEAD":
        return False
    asked = [value for name, value in scope["headers"] if name == b"te"]
    return any(part.partition(b";")[0].strip().lower() == b"trailers" for value in asked for part in value.split(b","))


def announced(scope: Mapping[str, Any], headers: Fields) -> Fields:
    """Return a response's headers with our trailers' names among them, as HTTP/1.1 wants (RFC 9110, section 6.6.2)."""
    return headers if scope.get("http_version", "1.1") >= "2" else [*headers, (b"trailer", _NAMES)]


def fields(summary: Summary, own: Iterable[tuple[bytes, bytes]] = ()) -> Fields:
    """Return a summary as trailers, behind those of the app."""
    kept = [(name, value) for name, value in own if not name.lower().startswith(_PREFIX)]
    return kept + [(name.lower().encode("latin-1"), value.encode("latin-1")) for name, value in write_summary(summary)]
