"""Where a request goes to: told once for each URL of httpx's or httpx2's that may be a provider's."""

from __future__ import annotations

from typing import Any, NamedTuple

from .providers import maybe_inference

__all__ = ["Target", "target_at", "target_of"]

_MOST = 1024
_REFERENCE = "_uri_reference"
"""What both libraries keep of a URL: a tuple. Each of its properties is computed of that at each look."""


class Target(NamedTuple):
    """What a request is recognised by of a URL; and `uri`, which is scheme, host, port and path: nothing secret."""

    scheme: str
    host: str
    port: int | None
    path: str
    uri: str


def target_at(scheme: str, host: str, port: int | None, path: str) -> Target:
    """Put a target together."""
    return Target(scheme, host, port, path, f"{scheme}://{host}{'' if port is None else f':{port}'}{path}")


_known: dict[Any, Target] = {}


def target_of(url: Any) -> Target | None:
    """Return where a request to a URL goes to, its path decoded; None if that is not worth a closer look."""
    reference = getattr(url, _REFERENCE, None)
    known = _known.get(reference) if isinstance(reference, tuple) else None
    return _told(url, reference) if known is None else known


def _told(url: Any, reference: Any) -> Target | None:
    raw_path = url.raw_path
    if not maybe_inference(url.raw_host + b"/" if raw_path[:2] in (b"/", b"/?") else raw_path):
        return None
    target = target_at(url.scheme, url.host, url.port, url.path)
    if isinstance(reference, tuple) and not url.userinfo and not url.query:  # which may be secret, and are kept nowhere
        if len(_known) >= _MOST:
            _known.clear()
        _known[reference] = target
    return target
