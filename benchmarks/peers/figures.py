"""What is made of the answers of workers that took turns: medians of what is added to bare, and the noise in them."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import median, quantiles

from benchmarks.peers.roster import SCENARIOS, Entry

__all__ = ["Added", "Turns", "added", "bootstrapped", "differences", "seen"]

Turns = Sequence[Mapping[str, float]]
"""What a worker told, turn by turn."""


@dataclass(frozen=True)
class Added:
    """Seconds in the median, and by how much it may be off: half the distance between the quartiles."""

    seconds: float
    spread: float


def differences(entry: Turns, bare: Turns, figure: str) -> list[float]:
    """Return what was added, round by round: both have had their turns within the same seconds.

    Nothing is taken off for how quick the machine was: a piece of work to tell that by takes longer in a process that
    has more in memory, and differs by some hundredths from one process to the next.
    """
    return [ours[figure] - theirs[figure] for ours, theirs in zip(entry, bare, strict=True)]


def added(entry: Turns, bare: Turns, figure: str, parts: int = 1) -> Added:
    """Return what is added to bare.

    Args:
        figure: `cpu` of all threads, or the app's `thread`.
        parts: of an operation that the figure is for.
    """
    found = [difference / parts for difference in differences(entry, bare, figure)]
    if len(found) < 3:
        return Added(median(found), 0.0)
    low, middle, high = quantiles(found, n=4)
    return Added(middle, (high - low) / 2)


def bootstrapped(found: Sequence[float], draws: int = 400) -> float:
    """Return the standard error of a median, by drawing again from what was found."""
    dice = random.Random(7)
    medians = [median(dice.choices(found, k=len(found))) for _ in range(draws)]
    middle = sum(medians) / draws
    return float((sum((each - middle) ** 2 for each in medians) / draws) ** 0.5)


def seen(entry: Entry, scenario: str, told: Turns) -> str:
    """Say how much of what it was given an entry has recorded."""
    kind = entry.records.get(scenario, SCENARIOS[scenario].kind)
    operations = sum(turn["operations"] for turn in told)
    if entry.tool in ("bare", "nothing"):
        return "n/a"
    if kind is None:
        return f"{sum(turn['proved'] for turn in told) / operations:.0%} *" if scenario == "asgi" else "n/a"
    return f"{sum(turn[kind] for turn in told) / operations:.0%}"
