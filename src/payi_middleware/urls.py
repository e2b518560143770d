"""Where a request goes to: told once for each URL of httpx's or httpx2's that may be a provider's."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from operator import itemgetter
from typing import Any, NamedTuple

from .log import warn
from .providers import maybe_inference

__all__ = ["Target", "target_at", "target_of"]

_MOST, _SHORT = 1024, 200


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


Known = dict[tuple[Any, ...], Target]


@lru_cache(maxsize=_MOST)
def _may_be(path: str) -> bool:
    return maybe_inference(path.encode())


_kinds: dict[type[Any], tuple[itemgetter[Any], Known]] = {}


def _kept(kind: type[Any]) -> tuple[itemgetter[Any], Known]:
    """Return what picks scheme, host, port and path out of what a library keeps, and the targets known by them.

    Neither query nor user are among them, which may be secret.
    """
    fields: Sequence[str] = vars(kind)["_fields"]
    kept = _kinds[kind] = itemgetter(*map(fields.index, ("scheme", "host", "port", "path"))), {}
    return kept


def target_of(url: Any) -> Target | None:
    """Return where a request to a URL goes to, its path decoded; None if that is not worth a closer look."""
    try:
        told = url._uri_reference  # what both libraries keep, and compute a URL's properties of at each look
        pick, targets = _kinds.get(type(told)) or _kept(type(told))
        key = pick(told)
        known = targets.get(key)
        if known is not None:
            return known
        path = key[3]
        if 1 < len(path) <= _SHORT and not _may_be(path):  # at a root only the host can tell
            return None
    except (AttributeError, KeyError, TypeError, ValueError):
        return _told(url)
    known = _told(url)
    if known is not None:
        if len(targets) >= _MOST:
            targets.clear()
        targets[key] = known
    return known


def _told(url: Any) -> Target | None:
    try:
        raw_path = url.raw_path
        if not maybe_inference(url.raw_host + b"/" if raw_path[:2] in (b"/", b"/?") else raw_path):
            return None
        return target_at(url.scheme, url.host, url.port, url.path)
    except Exception as error:  # noqa: BLE001 - fail open: httpx may send what it cannot show, such as an odd host
        warn("begin", "A provider call could not be recorded: %s", type(error).__name__)
        return None
