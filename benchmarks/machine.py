"""What a benchmark ran on."""

from __future__ import annotations

import os
import platform
from importlib.metadata import version
from pathlib import Path
from statistics import median
from time import perf_counter

__all__ = ["about", "pace"]


def machine() -> str:
    """Return the processor's name, where the system tells it, and how many cores there are."""
    told = Path("/proc/cpuinfo")
    lines = told.read_text(encoding="utf-8").splitlines() if told.exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return f"{names[0] if names else platform.machine()}, {os.cpu_count()} cores"


def about(*packages: str) -> str:
    """Return the interpreter, our version and those of `packages`, and the machine."""
    told = [f"{name} {version(name)}" for name in ("payi-middleware", *packages)]
    python = f"{platform.python_implementation()} {platform.python_version()}"
    return f"{python}, {', '.join(told)} on {platform.system()}, {machine()}"


def pace(seconds: float = 2.0) -> float:
    """Return the seconds that 300,000 additions take, in the median, while one core does nothing else for some seconds.

    A machine that is shared may be three times as slow as it is alone, and slower when it is busy for long.
    """
    told: list[float] = []
    ended = perf_counter() + seconds
    while not told or perf_counter() < ended:
        started, total = perf_counter(), 0
        for number in range(300_000):
            total += number
        told.append(perf_counter() - started)
    return median(told)
