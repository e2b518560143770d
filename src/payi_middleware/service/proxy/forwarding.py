"""Which headers pass, to the provider and back.

Everything an SDK says does. What belongs to one connection only (RFC 9110 section 7.6.1), to us, or to what lies
between the caller and us does not.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from payi_middleware.service.errors import invalid

__all__ = ["Headers", "answered", "forwarded", "signed_names"]

Headers = list[tuple[bytes, bytes]]

OURS = b"xproxy-"
FORWARD = b"xproxy-forward-"

_HOP_BY_HOP = frozenset(
    {
        b"connection",
        b"keep-alive",
        b"proxy-authenticate",
        b"proxy-authorization",
        b"proxy-connection",
        b"te",
        b"trailer",
        b"transfer-encoding",
        b"upgrade",
    }
)
_WRITTEN_ANEW = frozenset({b"host", b"content-length", b"accept-encoding", b"expect"})
# Cookies are for the host that we are served at, and baggage may name the caller's user; the others tell of the network
# that the caller and we are in.
_PRIVATE = frozenset(
    {
        b"baggage",
        b"cookie",
        b"forwarded",
        b"via",
        b"x-forwarded-for",
        b"x-forwarded-host",
        b"x-forwarded-port",
        b"x-forwarded-prefix",
        b"x-forwarded-proto",
        b"x-forwarded-server",
        b"x-original-uri",
        b"x-real-ip",
    }
)
_NOT_PASSED_ON = _HOP_BY_HOP | _WRITTEN_ANEW | _PRIVATE
# A cookie or a rule for all calls to a host would hold for ours; our server writes the date and its own name.
_NOT_PASSED_BACK = _HOP_BY_HOP | {b"set-cookie", b"alt-svc", b"strict-transport-security", b"date", b"server"}
_OF_THE_BODY = frozenset(
    {b"content-length", b"content-encoding", b"content-md5", b"content-digest", b"digest", b"etag"}
)


def forwarded(headers: Iterable[tuple[bytes, bytes]], *, whole: bool) -> Headers:
    """Return the headers that go to the provider.

    Args:
        headers: those that came, with lower-case names.
        whole: the body goes out as it came, and so may its length.

    Raises:
        ServiceError: 400, xProxy-Forward-* names a header that cannot be set.
    """
    came = list(headers)
    left_out = _NOT_PASSED_ON | _named_in_connection(came)
    given: dict[bytes, bytes] = {}
    for name, value in came:
        if name.startswith(FORWARD):
            given[_settable(name[len(FORWARD) :])] = value
    passed = [
        (name, value)
        for name, value in came
        if name not in left_out and name not in given and not name.startswith(OURS)
    ]
    if whole:
        passed += [(name, value) for name, value in came if name == b"content-length"]
    return [*passed, *given.items()]


def _settable(name: bytes) -> bytes:
    if not name or name.startswith(OURS) or name in _HOP_BY_HOP | _WRITTEN_ANEW:
        told = name.decode("latin-1") or "without a name"
        raise invalid(f"xProxy-Forward-*: the header {told!r} cannot be forwarded")
    return name


def _named_in_connection(headers: Headers) -> frozenset[bytes]:
    named = b",".join(value for name, value in headers if name == b"connection")
    return frozenset(part.strip().lower() for part in named.split(b",")) if named else frozenset()


def signed_names(headers: Mapping[str, str]) -> frozenset[str]:
    """Return the names of the headers that an AWS signature covers."""
    _, found, rest = headers.get("authorization", "").partition("SignedHeaders=")
    return frozenset(rest.partition(",")[0].strip().split(";")) if found else frozenset()


def answered(headers: Iterable[tuple[bytes, bytes]], *, changed: bool) -> Headers:
    """Return the headers that go back to the caller, with lower-case names.

    Args:
        changed: the body is not the provider's byte for byte, so that nothing may be said of its bytes.
    """
    came = [(name.lower(), value) for name, value in headers]
    left_out = _NOT_PASSED_BACK | _named_in_connection(came)
    if changed:
        left_out |= _OF_THE_BODY
    return [(name, value) for name, value in came if name not in left_out]
