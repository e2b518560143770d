"""The queue that everything reaches the dispatcher by, and how many reports have come through it."""

from __future__ import annotations

import queue
from collections import deque
from itertools import count
from threading import Lock

from payi_middleware.recorder import Exchange

from .work import Barrier, Done, Opening, Stop

__all__ = ["Inbox", "Item"]

Item = Exchange | Barrier | Opening | Stop | Done
_AT_ONCE = 256
"""Threads that may be putting exchanges at the same moment without any of them being overlooked."""


class Inbox(queue.SimpleQueue[Item]):
    """A queue whose `put` takes no lock that a finaliser could wait for, and which counts exchanges as freely."""

    def __init__(self) -> None:
        super().__init__()
        self._numbers = count(1)
        self._newest: deque[int] = deque([0], maxlen=_AT_ONCE)
        self._given_up = 0
        self._giving_up = Lock()

    def bring(self, exchange: Exchange) -> None:
        """Put an exchange that has not been here before."""
        self._newest.append(next(self._numbers))
        self.put(exchange)

    def give_up(self) -> None:
        """Count an exchange that was taken out again and goes nowhere. Not for finalisers."""
        with self._giving_up:
            self._given_up += 1

    @property
    def brought(self) -> int:
        """Exchanges that have come, without those given up."""
        return max(list(self._newest)) - self._given_up
