"""Telling an event loop from another thread that something it waits for has come, on asyncio and trio alike."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from contextlib import suppress
from typing import Any
from weakref import WeakKeyDictionary

__all__ = ["import_anyio", "loop_waker"]


class _Mailbox:
    """What is to be run on an event loop. It is woken once for all that has come meanwhile: that is a system call.

    Args:
        schedule: has the loop run something, from any thread.
    """

    def __init__(self, schedule: Callable[[Callable[[], None]], Any]) -> None:
        self._schedule = schedule
        self._callbacks: deque[Callable[[], None]] = deque()
        self._woken = False

    def run_soon(self, callback: Callable[[], None]) -> None:
        """Have a callback run, from any thread."""
        self._callbacks.append(callback)
        if not self._woken:
            self._wake()

    def _wake(self) -> None:
        self._woken = True
        with suppress(RuntimeError):  # the loop is closed: nobody waits any more
            self._schedule(self._run)

    def _run(self) -> None:
        self._woken = False
        try:
            while self._callbacks:
                self._callbacks.popleft()()
        finally:
            if self._callbacks and not self._woken:
                self._wake()


def import_anyio() -> None:
    """Import what waits on event loops, before there is a request to wait for it.

    It is not imported with this package, as it brings asyncio along: WSGI apps, and scripts, need neither.
    """
    from anyio import lowlevel, to_thread  # noqa: F401


_mailboxes: WeakKeyDictionary[object, _Mailbox] = WeakKeyDictionary()


def loop_waker() -> Callable[[Callable[[], None]], None]:
    """Return how another thread runs a callable on this event loop without waiting for it."""
    from anyio.lowlevel import current_token

    loop: Any = current_token().native_token
    mailbox = _mailboxes.get(loop)
    if mailbox is None:
        mailbox = _mailboxes[loop] = _Mailbox(getattr(loop, "run_sync_soon", None) or loop.call_soon_threadsafe)
    return mailbox.run_soon
