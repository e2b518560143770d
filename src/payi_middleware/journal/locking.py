"""Locks on files by which processes tell who is alive: the operating system lets go of them when a process ends.

POSIX record locks, not `flock`: a forked child does not inherit them, so a parent that is killed lets go although its
children live on (https://pubs.opengroup.org/onlinepubs/9799919799/functions/fcntl.html). They are lost when the process
closes any descriptor of the file; hence nobody here opens a file of its own process a second time.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any

from payi_middleware.forks import after_fork

__all__ = ["SUPPORTED", "Lock", "create_locked", "is_held", "lock_left_behind", "read"]


def _fcntl() -> Any:
    try:
        return import_module("fcntl")
    except ImportError:
        return None


fcntl = _fcntl()
SUPPORTED = fcntl is not None
"""Whether this operating system has such locks; Windows has not."""
_PRIVATE = 0o600


_held: dict[str, Lock] = {}
"""The locks that this process has taken on files of others, of which it must not open one a second time."""
after_fork(_held.clear)


class Lock:
    """A lock that is held, or will be.

    Args:
        path: the file's.
    """

    def __init__(self, path: Path) -> None:
        self._name = os.path.abspath(path)
        self.descriptor = -1

    def claim(self) -> bool:
        """Keep other threads from the file; False if one has been faster."""
        return _held.setdefault(self._name, self) is self

    def release(self) -> None:
        """Let go; in a forked child of the holder, nothing happens to the holder's."""
        if self.descriptor >= 0:
            os.close(self.descriptor)
            self.descriptor = -1
        if _held.get(self._name) is self:
            del _held[self._name]


def create_locked(path: Path, prepare: Callable[[int], None]) -> tuple[int, Lock]:
    """Make a file that nobody ever sees unlocked.

    Args:
        prepare: writes what has to be in it from the beginning, given the descriptor.

    Returns:
        Its descriptor, which the lock closes, and the lock.

    Raises:
        OSError: it cannot be made.
    """
    unseen = path.with_name(f".{path.name}.new")
    descriptor = os.open(unseen, os.O_CREAT | os.O_EXCL | os.O_RDWR | getattr(os, "O_CLOEXEC", 0), _PRIVATE)
    lock = Lock(path)
    lock.descriptor = descriptor
    try:
        prepare(descriptor)
        fcntl.lockf(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        unseen.rename(path)
    except BaseException:
        unseen.unlink(missing_ok=True)
        lock.release()
        raise
    return descriptor, lock


def lock_left_behind(path: Path) -> Lock | None:
    """Lock a file of a process that has ended; None if it lives, or if another one was faster.

    Raises:
        OSError: the file cannot be opened.
    """
    lock = Lock(path)
    if not lock.claim():
        return None
    try:
        lock.descriptor = os.open(path, os.O_RDWR | getattr(os, "O_CLOEXEC", 0))
        fcntl.lockf(lock.descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if _is_at(path, lock.descriptor):
            return lock
    except BlockingIOError:
        pass
    except BaseException:
        lock.release()
        raise
    lock.release()
    return None


def _is_at(path: Path, descriptor: int) -> bool:
    """Return whether an open file is still there: another process may have done with it before it was locked here."""
    try:
        return os.path.samestat(path.stat(), os.fstat(descriptor))
    except FileNotFoundError:
        return False


def is_held(path: Path) -> bool:
    """Return whether another process holds the lock on a file, which must not be one of this process's own.

    Raises:
        OSError: the file cannot be opened.
    """
    if not SUPPORTED or os.path.abspath(path) in _held:
        return False
    descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_CLOEXEC", 0))
    try:
        fcntl.lockf(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except (BlockingIOError, PermissionError):  # which of the two is left to the operating system
        return True
    finally:
        os.close(descriptor)
    return False


def read(path: Path) -> bytes:
    """Return what is in a file without losing a lock that this process may hold on it.

    Raises:
        OSError: it cannot be read.
    """
    lock = _held.get(os.path.abspath(path))
    if lock is None:
        return path.read_bytes()
    return os.pread(lock.descriptor, os.fstat(lock.descriptor).st_size, 0)
