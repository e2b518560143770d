"""The provider calls of one web request, and what is known of them.

It knows nothing of the request itself, so that it may be kept when the request is over.
"""

from __future__ import annotations

import threading
from contextlib import suppress

from .calls import Call
from .forks import ForkSafeLock
from .results import Summary, summarise

__all__ = ["Tally"]

_making = ForkSafeLock()
_KEPT_CALLS, _KEPT_POSTPONED = 128, 1024
"""Calls of one request that are kept singly; a long-lived websocket's older ones are folded into totals. In an outage
that takes those whose results nobody waits for any more, too: they are counted, and their results are not.
"""


class Tally:
    """Counts calls, from any thread."""

    __slots__ = ("_calls", "_earlier", "_earlier_calls", "_fold_at", "_lock")

    def __init__(self) -> None:
        self._calls: list[Call] = []
        self._earlier: Summary | None = None
        self._earlier_calls = 0
        self._fold_at = _KEPT_CALLS
        self._lock: threading.Lock | None = None

    @property
    def lock(self) -> threading.Lock:
        """What keeps two from adding up at once; the request shares it. Most requests need none, and make none."""
        if self._lock is None:
            with _making:
                if self._lock is None:
                    self._lock = threading.Lock()  # looked up now, as gevent may have put its own in place
        return self._lock

    def add(self, call: Call) -> None:
        """Count a call."""
        self._calls.append(call)
        if len(self._calls) > self._fold_at:
            self._fold()

    def remove(self, call: Call) -> None:
        """Take back a call that turned out to be none."""
        with suppress(ValueError):
            self._calls.remove(call)

    def _fold(self) -> None:
        with self.lock:
            postponed = [call for call in self._calls if call.postponed and not call.settled]
            given_up = set(postponed[: max(0, len(postponed) - _KEPT_POSTPONED)])
            gone = [call for call in self._calls if call.settled or call in given_up]
            self._earlier = summarise(
                self._earlier_calls + len(gone),
                [call.result for call in gone],
                provisional=[None if call.result else call.estimate for call in gone],
                before=self._earlier,
            )
            self._earlier_calls += len(gone)
            for call in gone:
                self.remove(call)
            self._fold_at = len(self._calls) + _KEPT_CALLS  # those that stay are not looked at again by the next one

    @property
    def count(self) -> int:
        """How many calls were made."""
        return self._earlier_calls + len(self._calls)

    @property
    def calls(self) -> list[Call]:
        """The calls, but for those of long ago that are only part of the sum any more."""
        return list(self._calls)

    @property
    def due(self) -> list[Call]:
        """The calls that have ended and whose results are not in; a stream that is still read is not among them."""
        return [call for call in self._calls if call.due and not call.settled]

    @property
    def unsettled(self) -> list[Call]:
        """The calls whose results are not in, those that have not ended included."""
        return [call for call in self._calls if not call.settled]

    def summary(self, *, streaming: bool = False) -> Summary:
        """Add up what is known of the calls.

        Args:
            streaming: more may come, so that nothing is final.
        """
        calls = list(self._calls)
        if len(calls) == 1 and self._earlier is None:  # nothing is folded then, and nobody would have made a lock
            (only,) = calls
            if (result := only.result) is not None:
                return summarise(1, (result,), streaming=streaming)
        with self.lock:
            calls = list(self._calls)
            return summarise(
                self._earlier_calls + len(calls),
                [call.result for call in calls],
                provisional=[None if call.result else call.estimate for call in calls],
                streaming=streaming,
                before=self._earlier,
            )
