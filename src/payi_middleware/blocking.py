"""The answer to a web request that a door gives in the app's place, as long as a limit of its calls is reached."""

from __future__ import annotations

import json
from collections.abc import Sequence
from http import HTTPStatus
from typing import Literal

from .headers import write_summary
from .responding import HeaderList
from .results import Summary

__all__ = ["blocked_answer", "refused"]

_RETRY_AFTER = 60
"""Seconds: nobody knows when a limit is reset or raised."""


def refused(limit_ids: Sequence[str]) -> Summary:
    """Return what there is to say of a request whose limits refuse all its calls."""
    return Summary(limits=dict.fromkeys(limit_ids, "blocked"), blocked_limit_ids=tuple(limit_ids))


def blocked_answer(status: Literal[402, 429], limit_ids: Sequence[str], *, summary: bool) -> tuple[HeaderList, bytes]:
    """Return headers and body: a problem (RFC 9457) that names the limits.

    Args:
        summary: add the `X-Payi-*` headers.
    """
    reason = HTTPStatus(status).phrase
    problem = {
        "type": "about:blank",
        "title": reason,
        "status": status,
        "detail": f"Limit {', '.join(limit_ids)} is reached.",
        "code": "limit_reached",
        "blocked_limit_ids": list(limit_ids),
    }
    body = json.dumps(problem).encode()
    headers = [("Content-Type", "application/problem+json"), ("Content-Length", str(len(body)))]
    headers.append(("Retry-After", str(_RETRY_AFTER)))
    if summary:
        headers += write_summary(refused(limit_ids))
    return headers, body
