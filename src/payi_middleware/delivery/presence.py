"""How many web requests there are, and how many of them can go on only when results are in."""

from __future__ import annotations

from collections.abc import Callable
from threading import Lock

__all__ = ["Presence"]


class Presence:
    """Count web requests, from any thread.

    Exchanges are read and sent together, so that the first of them waits for those that follow. Where all requests wait
    already none follows: an app whose clients wait for its answers would stand still until that moment is over.

    Args:
        hurry: is called where nobody does anything else than wait.
    """

    def __init__(self, hurry: Callable[[], None]) -> None:
        self._hurry = hurry
        self._lock = Lock()
        self._served = self._waiting = 0

    def come(self) -> None:
        """A request begins."""
        with self._lock:
            self._served += 1

    def go(self) -> None:
        """A request ends."""
        with self._lock:
            self._served -= 1
            still = 0 < self._waiting >= self._served
        if still:
            self._hurry()

    def wait(self) -> None:
        """A request begins to wait for results."""
        with self._lock:
            self._waiting += 1
            still = self._waiting >= self._served
        if still:
            self._hurry()

    def go_on(self) -> None:
        """It waits no longer."""
        with self._lock:
            self._waiting -= 1
