"""A circuit breaker: during an outage, not every call has to find out for itself that Pay-i cannot be reached."""

from __future__ import annotations

from collections.abc import Callable
from time import monotonic

from payi_middleware.forks import ForkSafeLock

__all__ = ["Circuit"]

_FIRST, _LONGEST = 1.0, 30.0
"""Seconds for which nobody tries after a failure: at first, and at most; they double while it goes on failing."""

_lock = ForkSafeLock()


class Circuit:
    """Closed while all is well. After a failure it is open for a while; then one call at a time finds out.

    Args:
        clock: seconds that never go back.
    """

    def __init__(self, clock: Callable[[], float] = monotonic) -> None:
        self._clock = clock
        self._pause = 0.0
        self._open_until = 0.0

    @property
    def closed(self) -> bool:
        """Whether nothing has failed since the last success."""
        return not self._pause

    def allows(self) -> bool:
        """Return whether a call may try; after a pause, the one that is told so is the only one for another pause."""
        if not self._pause:
            return True
        with _lock:
            now = self._clock()
            if now < self._open_until:
                return False
            self._open_until = now + self._pause
            return True

    def fail(self) -> None:
        """Note that Pay-i was not reached."""
        with _lock:
            self._pause = min(_LONGEST, self._pause * 2) or _FIRST
            self._open_until = self._clock() + self._pause

    def succeed(self) -> None:
        """Note that Pay-i was reached."""
        self._pause = 0.0
