"""When exchanges that lie beside the queue are read: together with others, where there are others."""

from __future__ import annotations

__all__ = ["Gathering"]

_MOMENT, _UNWANTED, _LONGEST = 0.008, 0.25, 0.05
"""Seconds: the shortest time between two gatherings where somebody may wait for a result, that where nobody does, and
the longest of the former."""
_PATIENCE, _RARELY = 8, 1.0
"""How many times as long as the interpreter was in coming it is not asked for again where nobody waits for a result,
and the seconds that this is at most."""
_AT_EASE, _SHARE = 0.6, 1 / 8
_STEEPNESS = 3
"""Far from its limit a process has time to read them soon, and clients notice; at its limit they wait for it anyway."""


class Gathering:
    """Decide when exchanges are read that have come.

    Where somebody may wait for a result that is at once, unless others were read a moment ago. That moment grows as the
    process comes to its limit: each turn of ours takes the interpreter from the app's thread, and what it has at hand
    from its core, so that one request after the other then waits for longer than the results do that come together.

    Times are seconds: of the monotonic clock, and of the process's CPU.
    """

    def __init__(self) -> None:
        self.due: float | None = None
        self._last = self._cpu = self._late = 0.0
        self._busy = 0.0

    @property
    def moment(self) -> float:
        """The seconds between two gatherings where somebody may wait for a result."""
        strain = max(0.0, (self._busy - _AT_EASE) / (1.0 - _AT_EASE))
        return _MOMENT + strain**_STEEPNESS * (_LONGEST - _MOMENT)

    def nudge(self, now: float, *, wanted: bool, at_once: bool = False) -> None:
        """Something has come.

        Args:
            wanted: somebody may wait for its result.
            at_once: and nobody does anything else.
        """
        soon = now if at_once else max(now, self._last + self.moment)
        due = soon if wanted else now + _UNWANTED
        self.due = min(due, self.due or due)

    def is_due(self, now: float) -> bool:
        """Return whether it is time; if so, `gathered` is called next."""
        if self.due is None or now < self.due:
            return False
        self._late = now - self.due
        return True

    def gathered(self, now: float, cpu: float, *, more: bool, company: bool, wanted: bool) -> None:
        """All or some were read.

        A thread of the app's that computes, and lets go of the interpreter for moments only, has it back before whoever
        waits for it has woken up, and wakes that thread for nothing each time. So where it was long in coming, and
        nobody waits for results, it is not asked for again soon.

        Args:
            more: some are left.
            company: it was more than one, so that others will come without a nudge.
            wanted: somebody may wait for their results.
        """
        if now > self._last:
            busy = min(1.0, (cpu - self._cpu) / (now - self._last))
            self._busy += (busy - self._busy) * _SHARE
        self._last, self._cpu = now, cpu
        if more:
            self.due = now
        elif company:
            self.due = now + (self.moment if wanted else max(_UNWANTED, min(_RARELY, _PATIENCE * self._late)))
        else:
            self.due = None
