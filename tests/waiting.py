"""Waiting for what becomes true by itself."""

from __future__ import annotations

from collections.abc import Callable
from threading import Event
from time import monotonic
from typing import TypeVar

__all__ = ["until"]

_T = TypeVar("_T")
_PATIENCE = 60.0


def until(found: Callable[[], _T]) -> _T:
    """Return what is found once there is something, which takes milliseconds unless something is broken."""
    pause, ends = Event(), monotonic() + _PATIENCE
    while not (what := found()):
        assert monotonic() < ends, "it did not come to this"
        pause.wait(0.01)
    return what
