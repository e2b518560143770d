"""Telling an event loop from another thread that something it waits for has come, on asyncio and trio alike."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress

import anyio.lowlevel

__all__ = ["loop_waker"]


def loop_waker() -> Callable[[Callable[[], None]], None]:
    """Return how another thread runs a callable on this event loop without waiting for it."""
    loop = anyio.lowlevel.current_token().native_token
    schedule = getattr(loop, "run_sync_soon", None) or loop.call_soon_threadsafe  # type: ignore[attr-defined]

    def run_soon(callback: Callable[[], None]) -> None:
        with suppress(RuntimeError):  # the loop is closed: nobody waits any more
            schedule(callback)

    return run_soon
