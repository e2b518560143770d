"""One provider call as the request that made it sees it: pending until its report was answered."""

from __future__ import annotations

import threading
from collections.abc import Callable, Coroutine, Iterable, Sequence
from contextlib import suppress
from functools import partial
from time import monotonic
from typing import Any, cast
from weakref import ref

from .results import XproxyResult
from .waking import asyncio_loop, loop_waker, waker_of


class Call:
    """The outcome of one provider call, set once by whoever delivers the report.

    No lock is taken: `list.append`, `list.pop` and `dict.setdefault` are atomic, so each waiter is run exactly once, by
    the setter or by the thread that registered it, whichever comes second. A finaliser may interrupt any of this code.
    """

    # There is one for each call, and most are never asked anything: what they begin with is the class's.
    result: XproxyResult | None = None
    provisional: XproxyResult | None = None
    guess: Callable[[], XproxyResult | None] | None = None
    error: BaseException | None = None
    fetch: Callable[[], XproxyResult] | None = None
    due = False
    settled = False
    postponed = False
    made_in: ref[Any] | None = None
    _waiters: Sequence[Callable[[], None]] = ()
    _listeners: Sequence[Callable[[], None]] = ()

    # `due` is set when the call has ended and its report is on the way. `provisional` is what is known without Pay-i:
    # the limits that refused the call, or an estimated cost, which `guess` works out. `made_in` is the web request or
    # block that it was made in, once whoever records it does not keep that alive any more.

    @property
    def estimate(self) -> XproxyResult | None:
        """What is known of the call without Pay-i."""
        if self.provisional is None and (guess := self.guess) is not None:
            self.provisional = guess()
        return self.provisional

    def settle(self, result: XproxyResult | None, error: BaseException | None = None) -> None:
        """Record the outcome and wake whoever waits; later calls change nothing."""
        if self.settled:
            return
        self.result = result
        self.error = error
        self.settled = True
        _run(self._listeners)
        _run(self._waiters)

    def settle_without_result(self, fetch: Callable[[], XproxyResult]) -> None:
        """Record that the report was accepted, and how its result can be asked for."""
        self.fetch = fetch
        self.settle(None)

    def postpone(self) -> None:
        """Send those who wait on their way: the outcome will take its time, because Pay-i cannot be reached."""
        self.postponed = True
        _run(self._waiters)

    def on_wait_over(self, waiter: Callable[[], None]) -> None:
        """Run `waiter` when waiting is over, on the delivering thread, or at once if it is over already."""
        waiters: list[Callable[[], None]] = vars(self).setdefault("_waiters", [])
        waiters.append(waiter)
        if self.settled or self.postponed:
            _run(waiters)

    def on_settled(self, listener: Callable[[], None]) -> None:
        """Run `listener` when the outcome is known, however late, on the delivering thread, or at once if it is."""
        listeners: list[Callable[[], None]] = vars(self).setdefault("_listeners", [])
        listeners.append(listener)
        if self.settled:
            _run(listeners)


def _run(callbacks: Sequence[Callable[[], None]]) -> None:
    while callbacks:
        with suppress(IndexError):
            cast("list[Callable[[], None]]", callbacks).pop()()


def wait(calls: Iterable[Call], timeout: float, *, patient: bool = False) -> None:
    """Block until every call is settled, for at most `timeout` seconds.

    Args:
        patient: wait on while Pay-i cannot be reached, too; otherwise a postponed call is not waited for.
    """
    deadline = monotonic() + timeout
    for call in _pending(calls, patient):
        arrived = threading.Event()
        _tell(call, arrived.set, patient)
        if not arrived.wait(max(0.0, deadline - monotonic())):
            return


def await_settled(calls: Iterable[Call], timeout: float, *, patient: bool = False) -> Coroutine[Any, Any, None]:
    """Wait until every call is settled, for at most `timeout` seconds, on asyncio or trio; see `wait`."""
    pending = _pending(calls, patient)
    if pending and (loop := asyncio_loop()) is not None:
        return _await_on_asyncio(loop, pending, timeout, patient)
    return _await_anywhere(pending, timeout, patient)


async def _await_anywhere(pending: Sequence[Call], timeout: float, patient: bool) -> None:
    if not pending:
        return
    import anyio

    run_soon = loop_waker()
    with anyio.move_on_after(timeout):
        for call in pending:
            arrived = anyio.Event()
            _tell(call, partial(run_soon, arrived.set), patient)
            await arrived.wait()


async def _await_on_asyncio(loop: Any, pending: Sequence[Call], timeout: float, patient: bool) -> None:
    """Do what `await_settled` does with asyncio's own means, which take less time than anyio's."""
    waiting = _Waiting(loop, len(pending))
    timer = loop.call_later(timeout, waiting.end)
    try:
        for call in pending:
            _tell(call, waiting.tell, patient)
        await waiting.over
    finally:
        timer.cancel()


class _Waiting:
    """A task of asyncio's that waits until so many calls are settled."""

    # There is one for each request that waits. What lives meanwhile is looked at again and again by the garbage
    # collector: this is less than functions that share their variables.

    __slots__ = ("_left", "_run_soon", "over")

    def __init__(self, loop: Any, count: int) -> None:
        self._run_soon = waker_of(loop)
        self._left = count
        self.over = loop.create_future()

    def tell(self) -> None:
        """One of them is settled; called by any thread."""
        self._run_soon(self._come)

    def _come(self) -> None:
        self._left -= 1
        if self._left <= 0:
            self.end()

    def end(self) -> None:
        """Wait no longer; called by the loop."""
        if not self.over.done():
            self.over.set_result(None)


def _pending(calls: Iterable[Call], patient: bool) -> list[Call]:
    return [call for call in calls if not call.settled and (patient or not call.postponed)]


def _tell(call: Call, waiter: Callable[[], None], patient: bool) -> None:
    if patient:
        call.on_settled(waiter)
    else:
        call.on_wait_over(waiter)
