"""`on_summary`: telling the app what a request cost, once that is known."""

from __future__ import annotations

import inspect
import os
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from time import monotonic
from typing import Any

from payi_middleware.calls import await_settled, wait
from payi_middleware.exceptions import ConfigurationError
from payi_middleware.forks import ForkSafeLock
from payi_middleware.log import warn
from payi_middleware.results import Summary
from payi_middleware.settings import Settings
from payi_middleware.tally import Tally

__all__ = ["Teller"]

_SETTING = "on_summary"
_MOST_WAITING = 10_000
"""Summaries that a function which takes its time leaves waiting at most."""
_LONGEST = 30.0
"""Seconds that an async function may take: a server that shuts down waits for the requests that are under way."""

_lock = ForkSafeLock()


class Teller:
    """Calls an app's `on_summary`, once for each request that made provider calls, and never fails.

    A function is called on a thread of its own, one request after another. An `async def` is awaited where the request
    was served, when everything else of it is over.

    Args:
        callback: the app's.
        settings: `stream_wait` matters here.
        is_available: whether waiting for results makes sense at present.
        awaits: whether an `async def` can be awaited here.

    Raises:
        ConfigurationError: it cannot be called like that.
    """

    def __init__(
        self, callback: Callable[..., Any], settings: Settings, is_available: Callable[[], bool], *, awaits: bool
    ) -> None:
        self._seconds = settings.stream_wait
        self._is_available = is_available
        self._takes_original = _takes_original(callback)
        self._callback = callback
        self.awaited = _is_async(callback)
        if self.awaited and not awaits:
            raise ConfigurationError(
                _SETTING, "it is an async function, and WSGI has no event loop", "Write it with def."
            )
        self._thread: _Thread | None = None

    def tell(self, told: Tally | Summary, original: Any) -> None:
        """Have the function called soon, on its own thread.

        Args:
            told: the request's calls, or what is to be said of a request that was not served.
            original: the ASGI scope or WSGI environ.
        """
        if _is_nothing(told):
            return
        thread = self._running()
        if not thread.room.acquire(blocking=False):
            warn(_SETTING, "on_summary takes too long: a summary was dropped")
            return
        run = partial(self._run, told, original, monotonic() + self._seconds, thread.room)
        try:
            thread.executor.submit(run)
        except RuntimeError:  # the interpreter ends, and takes no more threads
            run()

    async def atell(self, told: Tally | Summary, original: Any) -> None:
        """Await the function here, even if the request was cancelled: its calls were made."""
        if _is_nothing(told):
            return
        import anyio  # see `waking.import_anyio`

        with anyio.CancelScope(shield=True):
            try:
                if isinstance(told, Tally) and self._is_available():
                    await await_settled(told.unsettled, self._seconds)
                with anyio.fail_after(_LONGEST):
                    await self._call(_summary(told), original)
            except Exception as error:  # noqa: BLE001 - fail open
                _complain(error)

    def drain(self, seconds: float) -> None:
        """Wait until what is known by now is told."""
        thread = self._thread
        if thread is not None and thread.pid == os.getpid():
            try:
                thread.executor.submit(_nothing).result(seconds)
            except (RuntimeError, TimeoutError):
                warn("on_summary at the end", "on_summary was not done in time")

    def _running(self) -> _Thread:
        with _lock:
            if self._thread is None or self._thread.pid != os.getpid():
                self._thread = _Thread()
            return self._thread

    def _run(self, told: Tally | Summary, original: Any, deadline: float, room: threading.BoundedSemaphore) -> None:
        try:
            if isinstance(told, Tally) and self._is_available():
                wait(told.unsettled, max(0.0, deadline - monotonic()))
            self._call(_summary(told), original)
        except Exception as error:  # noqa: BLE001 - fail open
            _complain(error)
        finally:
            room.release()

    def _call(self, summary: Summary, original: Any) -> Any:
        return self._callback(summary, original) if self._takes_original else self._callback(summary)


class _Thread:
    """The thread that functions are called on; a forked child has none of its parent's."""

    def __init__(self) -> None:
        self.pid = os.getpid()
        self.executor = ThreadPoolExecutor(1, thread_name_prefix="payi-on-summary")
        self.room = threading.BoundedSemaphore(_MOST_WAITING)


def _nothing() -> None:
    """Be done."""


def _is_nothing(told: Tally | Summary) -> bool:
    return isinstance(told, Tally) and not told.count


def _summary(told: Tally | Summary) -> Summary:
    return told.summary() if isinstance(told, Tally) else told


def _complain(error: Exception) -> None:
    warn(_SETTING, "on_summary failed with %s: the app goes on", type(error).__name__)


def _is_async(function: Any) -> bool:
    while isinstance(function, partial):
        function = function.func
    return inspect.iscoroutinefunction(function) or inspect.iscoroutinefunction(type(function).__call__)


def _takes_original(function: Callable[..., Any]) -> bool:
    try:
        signature = inspect.signature(function)
    except (TypeError, ValueError):  # written in C, such as a list's append
        return False
    for count in (2, 1):
        try:
            signature.bind(*[None] * count)
        except TypeError:
            continue
        return count == 2
    raise ConfigurationError(
        _SETTING, "it cannot be called with a summary", "Write it like def on_summary(summary, scope)."
    )
