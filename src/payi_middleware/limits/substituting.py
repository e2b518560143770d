"""Another model for the same call: where a request names its model, and how that is changed."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import NamedTuple
from urllib.parse import quote

from payi_middleware.kinds import Kind
from payi_middleware.recorder import Exchange

__all__ = ["Changed", "substituted"]


class Changed(NamedTuple):
    """A request that asks for another model: its path, percent-encoded, and its body."""

    path: str
    body: bytes | None


def substituted(exchange: Exchange, path: str, body: bytes | None, model: str) -> Changed | None:
    """Change a request to ask for another model, and take note of that; None if it does not name one.

    Args:
        path: as it is sent, percent-encoded and without the query.
    """
    changed = _in_path(exchange.match.model_from_path, path, body, model) or _in_body(path, body, model)
    if changed is not None:
        exchange.request = changed.body
        if exchange.match.model_from_path is not None:
            kind = exchange.kind
            match = replace(kind.match, model_from_path=model)
            exchange.kind = Kind(match, kind.provider_uri, kind.module)
    return changed


def _in_path(named: str | None, path: str, body: bytes | None, model: str) -> Changed | None:
    if named is None:
        return None
    for spelling in dict.fromkeys((named, quote(named, safe=""), quote(named, safe="/"))):
        head, found, tail = path.rpartition(f"/{spelling}")
        if found and (not tail or tail[0] in "/:"):
            return Changed(f"{head}/{quote(model, safe='')}{tail}", body)
    return None


def _in_body(path: str, body: bytes | None, model: str) -> Changed | None:
    try:
        told = json.loads(body or b"")
    except (ValueError, RecursionError):
        return None
    if not isinstance(told, dict) or not isinstance(told.get("model"), str):
        return None
    return Changed(path, json.dumps({**told, "model": model}, ensure_ascii=False, separators=(",", ":")).encode())
