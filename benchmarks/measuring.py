"""Medians of CPU time on this thread, of cases that take turns."""

from __future__ import annotations

import gc
import json
from collections.abc import Callable, Mapping
from statistics import median
from time import thread_time

__all__ = ["Case", "calm_medians", "medians", "timed"]

_TOLD = '{"a": [1, 2.5, "three", null, true], "b": {"c": "some words", "d": -4}}'

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


def calm_medians(cases: Mapping[str, Case], rounds: int) -> dict[str, float]:
    """Return the median seconds of each case over the quarter of its rounds in which the machine was calmest.

    The cases take turns. A core that shares its caches and units with another one's work is slow for milliseconds at a
    time: how slow is told by a fixed piece of work before and after each turn.
    """
    turns: dict[str, list[tuple[float, float]]] = {name: [] for name in cases}
    for case in cases.values():
        case()  # the first time fills caches
    gc.disable()
    try:
        for _ in range(rounds):
            for name, case in cases.items():
                before = timed(_work, 1)
                seconds = case()
                turns[name].append((max(before, timed(_work, 1)), seconds))
            gc.collect()
    finally:
        gc.enable()
    return {name: median(seconds for _, seconds in sorted(told)[: -(-rounds // 4)]) for name, told in turns.items()}


def _work() -> None:
    for _ in range(50):
        json.loads(_TOLD)


def timed(work: Callable[[], None], operations: int) -> float:
    """Return the CPU seconds of this thread for each of the operations that `work` does."""
    start = thread_time()
    work()
    return (thread_time() - start) / operations
