"""How many web requests there are, and how many of them can go on only when results are in."""

from __future__ import annotations

from collections.abc import Callable

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
        # Sets, as each use of them is one operation: a lock may be held at a fork, and would be for ever in the child.
        self._served: set[int] = set()
        self._waiting: set[int] = set()

    def come(self, request: object) -> None:
        """A request begins."""
        self._served.add(id(request))

    def go(self, request: object) -> None:
        """A request ends."""
        self._served.discard(id(request))
        if self._waiting:
            self._look()

    def wait(self, request: object) -> None:
        """A request begins to wait for results."""
        self._waiting.add(id(request))
        self._look()

    def go_on(self, request: object) -> None:
        """It waits no longer."""
        self._waiting.discard(id(request))

    def _look(self) -> None:
        if len(self._waiting) >= len(self._served):
            self._hurry()
