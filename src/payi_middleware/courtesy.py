"""Threads of ours that compute leave the interpreter to the app's threads again and again.

An event loop lets go of the interpreter whenever it looks for events or sends something, and wants it back at once. A
thread that computes meanwhile keeps it for the switch interval, 5 ms (`sys.getswitchinterval`), each time. One that
sleeps for a moment after a short while of work does not: https://docs.python.org/3/glossary.html#term-GIL
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from time import perf_counter, sleep
from typing import TypeVar

__all__ = ["Courtesy", "considerately"]

_WORK, _REST = 0.001, 0.00005
"""Seconds of work, and of rest after it, which is as short as systems can make it: a tenth of a millisecond.

Each rest has two threads take turns twice, and what they had at hand in the core's caches is gone each time. Where one
core has to do for all, half as many turns (fewer rests, and fewer gatherings) made requests a tenth cheaper.
"""
_T = TypeVar("_T")


class Courtesy:
    """Rests when it is time. Used by one thread."""

    __slots__ = ("_rested",)

    def __init__(self) -> None:
        self.rested()

    def rested(self) -> None:
        """The thread has just waited for something."""
        self._rested = perf_counter()

    def rest_now_and_then(self) -> None:
        """Rest, if the thread has worked for long enough since it did last."""
        if perf_counter() - self._rested > _WORK:
            sleep(_REST)
            self._rested = perf_counter()


def considerately(items: Iterable[_T]) -> Iterator[_T]:
    """Yield items, and rest in between now and then."""
    courtesy = Courtesy()
    for item in items:
        yield item
        courtesy.rest_now_and_then()
