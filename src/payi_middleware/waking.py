"""Telling an event loop from another thread that something it waits for has come, on asyncio and trio alike."""

from __future__ import annotations

import sys
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from typing import Any
from weakref import WeakKeyDictionary

__all__ = ["asyncio_loop", "import_anyio", "loop_waker", "waker_of"]


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

    return waker_of(current_token().native_token)


def asyncio_loop() -> Any:
    """Return asyncio's event loop where the task that runs in this thread is asyncio's, or None."""
    asyncio, trio = sys.modules.get("asyncio"), sys.modules.get("trio")  # who has a loop has imported it
    if asyncio is None:
        return None
    try:
        loop = asyncio.get_running_loop()
        # Trio may be a guest on asyncio's loop, or the other way about.
        if asyncio.current_task(loop) is None or (trio is not None and trio.lowlevel.in_trio_task()):
            return None
    except (RuntimeError, AttributeError):  # there is none, another thread is just importing it, or trio is older
        return None
    return loop


def waker_of(loop: Any) -> Callable[[Callable[[], None]], None]:
    """Return how another thread runs a callable on a loop of asyncio's or trio's; see `loop_waker`."""
    mailbox = _mailboxes.get(loop)
    if mailbox is None:
        mailbox = _mailboxes[loop] = _Mailbox(getattr(loop, "run_sync_soon", None) or loop.call_soon_threadsafe)
    return mailbox.run_soon
