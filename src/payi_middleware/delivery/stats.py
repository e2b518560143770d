"""The delivery's counters."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["Stats"]


@dataclass(slots=True)
class Stats:
    """Counters since the process began.

    Args:
        delivered: accepted by the sink.
        retried: attempts that will be repeated.
        refused: refused for good by the sink.
        dropped: given up because there was no room left, or because a report could not be built.
        adopted: taken over from processes that ended before they could deliver.
        last_error: the type and code of the newest failure, never its content.
    """

    delivered: int = 0
    retried: int = 0
    refused: int = 0
    dropped: int = 0
    adopted: int = 0
    last_error: str | None = None
