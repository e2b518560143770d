"""What everything reaches the dispatcher by, and how many reports have come through it."""

from __future__ import annotations

import queue
from collections import deque
from collections.abc import Iterator
from contextlib import suppress
from itertools import count
from threading import Lock

from payi_middleware.recorder import Exchange

from .work import Barrier, Done, Nudge, Opening, Stop

__all__ = ["Inbox", "Item"]

Item = Exchange | Barrier | Nudge | Opening | Stop | Done
_NUDGE, _HURRY, _NOW = Nudge(wanted=False), Nudge(wanted=True), Nudge(wanted=True, at_once=True)
_MANY = 384
"""Exchanges that are read without further delay, as each of them has a place in the journal until then."""
_AT_ONCE = 256
"""Threads that may be putting exchanges at the same moment without any of them being overlooked."""


class Inbox:
    """A queue whose `put` takes no lock that a finaliser could wait for, and which counts exchanges as freely.

    Exchanges lie beside it until they are gathered: to wake a thread for each of them would cost the app's thread about
    as much as to record them, and that thread would take the interpreter from it each time.
    """

    def __init__(self) -> None:
        self._queue: queue.SimpleQueue[Item] = queue.SimpleQueue()
        self.put, self.get, self.get_nowait = self._queue.put, self._queue.get, self._queue.get_nowait
        self._numbers = count(1)
        self._newest: deque[int] = deque([0], maxlen=_AT_ONCE)
        self._beside: deque[Exchange] = deque()
        self._nudges: deque[Nudge] = deque()
        self._nudged = self._hurried = self._asked = False
        self.looked_after = False
        """Whether somebody looks beside the queue now and then, unasked, so that what nobody waits for wakes nobody."""
        self._given_up = 0
        self._giving_up = Lock()

    def bring(self, exchange: Exchange, *, wanted: bool, pressed: bool, most: int) -> int:
        """Put an exchange that has not been here before.

        Args:
            wanted: somebody may wait for its result.
            pressed: there is so much that it is to be read at once.
            most: exchanges that may lie here before that is so, too.

        Returns:
            About how many there are now.
        """
        self._newest.append(next(self._numbers))
        beside = self._beside
        queued = len(beside) + self._queue.qsize() + 1
        if pressed or queued > most:
            self.put(exchange)
            return queued
        beside.append(exchange)
        if wanted and not self._hurried:
            self._nudged = self._hurried = True
            self._nudge(_HURRY)
        elif not self._nudged:
            self._asked, self._nudged = False, True
            self._nudge(_NUDGE)
        elif queued >= _MANY and not self._hurried:
            self._hurried = True
            self._nudge(_HURRY)
        return queued

    def hurry(self) -> None:
        """Have what lies beside the queue read at once."""
        if self._beside:
            self._nudge(_NOW)

    def ask(self) -> None:
        """Have what has come delivered at once, as somebody asks for the result; who comes next says so."""
        if not self._beside:
            self._asked, self._nudged = True, False
        self._nudge(_NOW)

    def _nudge(self, nudge: Nudge) -> None:
        self._nudges.append(nudge)
        self.put(nudge)

    def heard(self) -> None:
        """A nudge was taken out."""
        with suppress(IndexError):
            self._nudges.popleft()

    @property
    def gathered(self) -> bool:
        """Whether something lies beside the queue."""
        return bool(self._beside)

    @property
    def oldest(self) -> float | None:
        """When the first exchange that lies beside the queue was recorded, in seconds since 1970."""
        with suppress(IndexError):
            return self._beside[0].recorded
        return None

    def hush(self, *, wanted: bool) -> None:
        """Have those who come next say nothing of it, as they are looked for anyway.

        Args:
            wanted: those, too, for whose results somebody may wait.
        """
        self._nudged, self._hurried = True, wanted

    def gather(self, most: int) -> Iterator[Exchange]:
        """Take what lies beside the queue; who comes from now on says so again, unless it is looked after."""
        self._nudged, self._hurried = self.looked_after and not self._asked, False
        with suppress(IndexError):
            for _ in range(most):
                yield self._beside.popleft()

    def pull(self) -> Item:
        """Take what is next, without waiting, from beside the queue first.

        Raises:
            queue.Empty: there is nothing.
        """
        with suppress(IndexError):
            return self._beside.popleft()
        return self.get_nowait()

    def qsize(self) -> int:
        """Return how many things there are, about; what only says that there are some is none."""
        return max(0, self._queue.qsize() - len(self._nudges)) + len(self._beside)

    def give_up(self) -> None:
        """Count an exchange that was taken out again and goes nowhere. Not for finalisers."""
        with self._giving_up:
            self._given_up += 1

    @property
    def brought(self) -> int:
        """Exchanges that have come, without those given up."""
        return max(list(self._newest)) - self._given_up
