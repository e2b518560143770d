"""Medians of CPU time on this thread, of cases that take turns."""

from __future__ import annotations

import gc
from collections.abc import Callable, Mapping
from statistics import median
from time import thread_time

__all__ = ["Case", "medians", "timed"]

Case = Callable[[], float]
"""Run a case once and return its seconds per operation."""


def medians(cases: Mapping[str, Case], rounds: int) -> dict[str, float]:
    """Return the median seconds of each case; they take turns, so that a machine that slows down slows them all."""
    seconds: dict[str, list[float]] = {name: [] for name in cases}
    for case in cases.values():
        case()  # the first time fills caches
    gc.disable()
    try:
        for _ in range(rounds):
            for name, case in cases.items():
                seconds[name].append(case())
            gc.collect()
    finally:
        gc.enable()
    return {name: median(found) for name, found in seconds.items()}


def timed(work: Callable[[], None], operations: int) -> float:
    """Return the CPU seconds of this thread for each of the operations that `work` does."""
    start = thread_time()
    work()
    return (thread_time() - start) / operations
