"""What a benchmark ran on."""

from __future__ import annotations

import os
import platform
from importlib.metadata import version
from pathlib import Path

__all__ = ["about"]


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
