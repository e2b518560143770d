"""Whether what is measured now is worse than what was committed, beyond the noise of this very run."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

__all__ = ["Reading", "allowed", "judged"]

_TOLERANCE, _TIMES_NOISE = 0.75, 4.0
"""The same code added 98 % to an ASGI request at one hour and 154 % at another, as the neighbours were others."""
_SMALL = 0.03
"""Three quarters of next to nothing is nothing: at least this share of bare is never a regression."""
_CROWDED = 1.0
"""The same where others use the machine. What has threads then costs several times as much beside a bare process, which
has one: cores and caches are somebody else's for half of the time. It is no noise, as it is there in each round.
"""


@dataclass(frozen=True)
class Reading:
    """What is added, as a share of what bare takes, and by how much that may be off in this run."""

    added: float
    noise: float


def allowed(baseline: float, noise: float, *, crowded: bool = False) -> float:
    """Return the share that is no regression."""
    least = max(baseline, 0.0)  # what takes less than nothing was noise
    return least + max(_TOLERANCE * least, _TIMES_NOISE * noise, _CROWDED if crowded else _SMALL)


def judged(baseline: Mapping[str, float], readings: Mapping[str, Reading], *, crowded: bool = False) -> list[str]:
    """Return what has become worse, and what the baseline does not know, in words.

    Args:
        crowded: others use the machine.
    """
    found = []
    for name, reading in readings.items():
        if name not in baseline:
            found.append(f"{name}: not in the baseline")
        elif reading.added > (most := allowed(baseline[name], reading.noise, crowded=crowded)):
            found.append(
                f"{name}: adds {reading.added:.1%} of what bare takes; {baseline[name]:.1%} in the baseline, "
                f"and no more than {most:.1%} with the noise of this run"
            )
    return found
