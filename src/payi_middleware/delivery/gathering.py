"""When exchanges that lie beside the queue are read: together with others, where there are others."""

from __future__ import annotations

__all__ = ["Gathering"]

_MOMENT, _UNWANTED, _LONGEST = 0.008, 0.05, 0.04
"""Seconds: the shortest time between two gatherings where somebody may wait for a result, that where nobody does, and
the longest of the former."""
_TIMES = 4
_SHARE = 1 / 8


class Gathering:
    """Decide when exchanges are read that have come.

    Where somebody may wait for a result that is at once, unless others were read a moment ago. That moment grows with
    the time by which this thread is late: then the app's thread has the interpreter all the time, and each turn of ours
    takes it away from it. Times are seconds on the monotonic clock.
    """

    def __init__(self) -> None:
        self.due: float | None = None
        self._last = 0.0
        self._late = 0.0

    @property
    def moment(self) -> float:
        """The seconds between two gatherings where somebody may wait for a result."""
        return min(_LONGEST, max(_MOMENT, _TIMES * self._late))

    def nudge(self, now: float, *, wanted: bool) -> None:
        """Something has come; `wanted` where somebody may wait for its result."""
        due = max(now, self._last + self.moment) if wanted else now + _UNWANTED
        self.due = min(due, self.due or due)

    def is_due(self, now: float) -> bool:
        """Return whether it is time; if so, `gathered` is called next."""
        if self.due is None or now < self.due:
            return False
        self._late += (now - self.due - self._late) * _SHARE
        return True

    def gathered(self, now: float, *, more: bool) -> None:
        """All or some were read; `more` are left."""
        self._last = now
        self.due = now if more else None
