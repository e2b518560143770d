"""What is done before a process ends, in a program and in a child of `multiprocessing`, which `atexit` forgets."""

from __future__ import annotations

import atexit
import os
import sys
from collections.abc import Callable

__all__ = ["at_end", "at_end_of_child"]

_LAST = -100
"""Priority among what such a child does in the end: behind the queues that `multiprocessing` itself empties (-5)."""
_prepared: set[tuple[int, Callable[[], None]]] = set()


def at_end(function: Callable[[], None]) -> None:
    """Have a function called when the interpreter ends; asked for again, it is called once, and earlier than others."""
    atexit.unregister(function)
    atexit.register(function)


def at_end_of_child(function: Callable[[], None]) -> None:
    """Have a function called once at the end of this process if it is a child of `multiprocessing`, which ends by
    `os._exit`: https://docs.python.org/3/library/atexit.html

    A child that is terminated by a signal ends without it.
    """
    process, util = (sys.modules.get(f"multiprocessing.{name}") for name in ("process", "util"))
    if process is None or util is None or process.parent_process() is None:
        return
    if (os.getpid(), function) not in _prepared:
        _prepared.add((os.getpid(), function))
        util.Finalize(None, function, exitpriority=_LAST)
