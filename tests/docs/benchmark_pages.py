"""Pages that a benchmark has printed, without their figures."""

from __future__ import annotations

import re

__all__ = ["words"]


def words(page: str, *left_out: str) -> list[str]:
    """Return the words of a page, without figures and the machine.

    Args:
        left_out: patterns of what else depends on them.
    """
    kept = re.sub("|".join((r"Printed by.*?\n\n", *left_out)), "", page, flags=re.DOTALL)
    return re.sub(r"[-+]?\d[\d.,]*", "N", kept).split()
