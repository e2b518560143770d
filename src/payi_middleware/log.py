"""One logger, one line per kind of trouble per minute.

Messages carry names, counts and error types, never the values of headers, prompts, answers or keys.
"""

from __future__ import annotations

import logging
import time

INTERVAL = 60.0
"""Seconds in which one kind of trouble is said once."""

logger = logging.getLogger("payi_middleware")
_last: dict[str, float] = {}
_suppressed: dict[str, int] = {}


def warn(kind: str, message: str, *arguments: object) -> bool:
    """Log a warning unless one of this kind was logged within the last minute.

    Args:
        kind: what is limited; keep the number of kinds small and free of users' data.
        message, arguments: as for `logging`.

    Returns:
        Whether it was logged.
    """
    now = time.monotonic()
    if now - _last.get(kind, -INTERVAL) < INTERVAL:
        _suppressed[kind] = _suppressed.get(kind, 0) + 1
        return False
    _last[kind] = now
    if hidden := _suppressed.pop(kind, 0):
        message, arguments = message + " (%d more of this kind since the last line)", (*arguments, hidden)
    logger.warning(message, *arguments)
    return True


def reset() -> None:
    """Forget what was said, so that the next line of each kind is logged."""
    _last.clear()
    _suppressed.clear()
