"""When to try again: exponential back-off with full jitter, and a circuit breaker. No I/O, no clock of its own.

Full jitter: https://aws.amazon.com/blogs/architecture/exponential-backoff-and-jitter/
"""

from __future__ import annotations

import random

__all__ = ["Pacing"]

LONGEST_PAUSE = 30.0
"""Seconds between two attempts at most, however long an outage takes; `Retry-After` may ask for ten times that."""
_BASE = 0.25
_FULL = 500
_MOST_STEPS = 64


class Pacing:
    """Decide when the sink is tried, and with how much at a time.

    While it is failing the breaker is open: nothing is sent, and nobody waits for results. When the pause is over one
    attempt is let through, and its outcome decides.
    """

    def __init__(self) -> None:
        self.failures = 0
        self.batch = _FULL
        self._steps = 1
        self._done = 0
        self._outage = 0
        self._failed = 0.0
        self._until = 0.0
        self._asked_until = 0.0
        self._probing = False

    @property
    def failing(self) -> bool:
        """Whether the last attempt failed."""
        return self.failures > 0

    def may_send(self, now: float) -> bool:
        """Return whether an attempt may begin at `now` (seconds)."""
        return self.pause(now) == 0.0

    def pause(self, now: float) -> float | None:
        """Return the seconds until an attempt may begin; None while its outcome has to be awaited."""
        if not self.failing:
            return 0.0
        return None if self._probing else max(0.0, self._until - now, self._asked_until - now)

    def begin(self) -> int:
        """An attempt begins.

        Returns:
            What `fail` needs to know of it.
        """
        self._probing = self.failing
        return self._outage

    def succeed(self, now: float, count: int) -> None:
        """The sink has accepted something, or has said clearly what it does not like.

        What was under way when the service asked for a pause does not end it.

        Args:
            count: reports that were sent together.
        """
        if now < self._asked_until:
            return
        self.failures = 0
        self._probing = False
        if 2 * count >= self.batch:
            self._grow()

    def _grow(self) -> None:
        """Send more at a time; the later, the more often that has been too much."""
        self._done += 1
        if self._done >= self._steps:
            self._done = 0
            self.batch = min(_FULL, self.batch * 4)
            if self.batch == _FULL:
                self._steps = 1

    def fail(
        self,
        now: float,
        *,
        begun: int | None = None,
        count: int = 1,
        retry_after: float | None = None,
        poison: bool = False,
    ) -> None:
        """An attempt has failed. One that began before the newest failure was known tells nothing new.

        Args:
            begun: what `begin` has returned.
            count: reports that were sent together.
            retry_after: seconds that the service asked for (RFC 9110 section 10.2.3).
            poison: it may be for what was sent: the next attempt is a smaller one, down to a single report.
        """
        asked = 0.0 if retry_after is None else min(retry_after, 10 * LONGEST_PAUSE)
        if asked:
            self._asked_until = max(self._asked_until, now + asked)
        if begun is not None and begun < self._outage and (self.failing or not asked):
            return
        longest = min(LONGEST_PAUSE, _BASE * 2 ** min(self.failures, 16))
        wait = asked + random.uniform(0, longest)
        if poison:
            if count > 1 and not self.failing:
                self._steps = min(_MOST_STEPS, self._steps * 2)
            self._done = 0
            self.batch = max(1, self.batch // 4)
        self.failures += 1
        self._outage += 1
        self._probing = False
        self._failed = now
        self._until = now + wait

    def hurry(self, now: float) -> None:
        """Somebody waits for all to be delivered: try as soon as the service has allowed it, but not all the time."""
        self._until = min(self._until, max(now, self._failed + _BASE))
