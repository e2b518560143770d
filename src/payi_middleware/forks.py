"""What a fork must not cut in two: its child has none of the other threads, and whatever they held stays held for ever.

Python sees to its own locks only. The lock of a module that another thread is importing is not among them, nor is what
SQLite has noted of the files that are open: https://sqlite.org/howtocorrupt.html section 2.6.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from threading import Condition, Lock, get_ident
from typing import Protocol
from weakref import WeakSet

__all__ = ["ForkSafeLock", "Resting", "after_fork", "rest_before_forks", "uncut"]

_LONGEST = 5.0
"""Seconds that a fork waits at most for threads of ours to come to an end of what they do."""


class Resting(Protocol):
    """Who lets go of something before each fork, and takes it up again when needed."""

    def rest(self) -> None:
        """Let go of what a child must not inherit. No thread is in the midst of using it."""


class ForkSafeLock:
    """A lock for `with` that nobody holds in a forked child. Made once for each module: its hook stays for ever."""

    def __init__(self) -> None:
        self._lock = Lock()
        after_fork(self._renew)

    def _renew(self) -> None:
        self._lock = Lock()

    def __enter__(self) -> None:
        self._lock.acquire()

    def __exit__(self, *failure: object) -> None:
        self._lock.release()


class _Uncut:
    """Many threads may be within it at once, and within that again; a fork waits until none is."""

    def __init__(self) -> None:
        self.resting: WeakSet[Resting] = WeakSet()
        self.begin_anew()

    def begin_anew(self) -> None:
        """Forget the parent's threads, in a child."""
        self._changed = Condition()
        self._depths: dict[int, int] = {}
        self._awaited = False

    def __enter__(self) -> None:
        me = get_ident()
        with self._changed:
            if self._awaited and me not in self._depths:
                self._changed.wait_for(lambda: not self._awaited, _LONGEST)
            self._depths[me] = self._depths.get(me, 0) + 1

    def __exit__(self, *failure: object) -> None:
        me = get_ident()
        with self._changed:
            self._depths[me] -= 1
            if not self._depths[me]:
                del self._depths[me]
                self._changed.notify_all()

    def before_fork(self) -> None:
        """Wait until no other thread is within, and keep them out."""
        self._changed.acquire()
        self._awaited = True
        me = get_ident()
        if self._changed.wait_for(lambda: self._depths.keys() <= {me}, _LONGEST) and me not in self._depths:
            for resting in list(self.resting):
                resting.rest()

    def after_fork(self) -> None:
        """Let them in again, in the parent."""
        self._awaited = False
        self._changed.notify_all()
        self._changed.release()


uncut = _Uncut()
"""`with uncut:` is for what threads of ours do that a fork has to wait for: imports, and everything with SQLite."""


def rest_before_forks(resting: Resting) -> None:
    """Have `rest` called before each fork, as long as `resting` lives."""
    uncut.resting.add(resting)


def after_fork(function: Callable[[], None]) -> None:
    """Have a function called in each child that this process forks, for good; nothing happens where nobody forks."""
    if hasattr(os, "register_at_fork"):
        os.register_at_fork(after_in_child=function)


if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=uncut.before_fork, after_in_parent=uncut.after_fork, after_in_child=uncut.begin_anew)
