"""`GET <results_path>/results/<id>`: what is asked, and what is answered in the app's place.

The app gets the request first. So its own layers say who asks, refuse whom they refuse, and let scripts of other
origins read the answer as they would read any other; only a response that they let pass is replaced.
"""

from __future__ import annotations

import json
from collections.abc import Iterable

from payi_middleware.responding import HeaderList
from payi_middleware.results import Summary

__all__ = ["HEADER", "answer", "asked_id", "is_replaced", "path_of"]

HEADER = "X-Payi-Results"
"""Tells, on each response, where its result can be asked for: a path."""
_RESULTS = "/results/"
_RETRY_AFTER = 1
"""Seconds."""
_OF_THE_BODY = frozenset(
    {
        "accept-ranges",
        "age",
        "allow",
        "cache-control",
        "content-disposition",
        "content-encoding",
        "content-language",
        "content-length",
        "content-location",
        "content-range",
        "content-type",
        "etag",
        "expires",
        "last-modified",
        "location",
        "retry-after",
        "trailer",
        "transfer-encoding",
    }
)
"""Headers that say something of a body which nobody gets."""


def path_of(results_path: str, root: str, request_id: str) -> str:
    """Return where a result can be asked for.

    Args:
        results_path: as in the settings.
        root: the path under which the app is mounted.
    """
    return f"{root.rstrip('/')}{results_path}{_RESULTS}{request_id}"


def asked_id(results_path: str, root: str, path: str) -> str | None:
    """Return the id that is asked for, or None if this is another path."""
    root = root.rstrip("/")
    if root and path.startswith(f"{root}/"):  # servers differ in whether the path has it
        path = path[len(root) :]
    start = f"{results_path}{_RESULTS}"
    request_id = path[len(start) :] if path.startswith(start) else ""
    return request_id if request_id and "/" not in request_id else None


def is_replaced(status: int) -> bool:
    """Return whether the app let the request pass: it answered it, or it knows no such path."""
    return 200 <= status < 300 or status in (404, 405)


def answer(summary: Summary | None, headers: Iterable[tuple[str, str]]) -> tuple[int, HeaderList, bytes]:
    """Return status, headers and body.

    Args:
        summary: None if there is none for who asks.
        headers: the app's.
    """
    ours = [("Cache-Control", "no-store")]
    if summary is None:
        status, kind = 404, "application/problem+json"
        body = json.dumps({"type": "about:blank", "title": "Not Found", "status": status}).encode()
    else:
        status, kind, body = 200, "application/json", summary.model_dump_json().encode()
        if summary.status == "pending":
            ours.append(("Retry-After", str(_RETRY_AFTER)))
    ours += [("Content-Type", kind), ("Content-Length", str(len(body)))]
    return status, [(name, value) for name, value in headers if name.lower() not in _OF_THE_BODY] + ours, body
