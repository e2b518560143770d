"""Units: what a request used, as `{unit: {input, output}}`.

Units are exclusive parts: a cached token is in `text_cache_read` and not in `text`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import lru_cache
from typing import Any, NamedTuple

from .errors import invalid, missing
from .store.encoding import is_storable

LARGE_CONTEXT = "_large_context"
TIERS = ("batch", "flex", "priority", "fast")
"""Service tiers, which a unit's name may end with; see `prices.tiers`."""
MAX_COUNT = 10**12
"""The largest counter accepted: a trillion tokens in one request is a mistake, and sums of counters stay in 64 bits."""

_TOKEN_UNIT = re.compile(
    rf"(text|vision|image|audio|video|reasoning)(_cache_read|_cache_write|_cache_write_1h)?(_({'|'.join(TIERS)}))?"
)


class Counts(NamedTuple):
    """The two counters of a unit."""

    input: int = 0
    output: int = 0


Units = Mapping[str, Counts]


def parse_units(value: Any) -> dict[str, Counts]:
    """Read the `units` of an ingest body.

    A bare integer means `{input: n}`: Pay-i's own SDK sends that for Amazon Nova's cache counters.

    Raises:
        ServiceError: `units` is missing, or not made of counters between 0 and `MAX_COUNT`.
    """
    if value is None:
        raise missing("units")
    if not isinstance(value, Mapping):
        raise invalid("units must be an object of {unit: {input, output}}")
    return {_name(name): _counts(name, counts) for name, counts in value.items()}


def _name(name: Any) -> str:
    if not isinstance(name, str) or not name or len(name) > 128:
        raise invalid("a unit's name must be a text of 1 to 128 characters")
    if not is_storable(name):  # what has no price is listed by its unit
        raise invalid("a unit's name has characters that cannot be stored")
    return name


def _counts(name: str, value: Any) -> Counts:
    if isinstance(value, Mapping):
        return Counts(_count(name, value.get("input")), _count(name, value.get("output")))
    return Counts(_count(name, value), 0)


def _count(name: str, value: Any) -> int:
    if value is None:
        return 0
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= MAX_COUNT:
        raise invalid(f"units.{name}: a counter must be an integer from 0 to {MAX_COUNT}")
    return value


def as_json(units: Units) -> dict[str, dict[str, int]]:
    """Write units the way Pay-i's bodies do."""
    return {name: {"input": read, "output": written} for name, (read, written) in units.items()}


def split_large_context(unit: str) -> tuple[str, bool]:
    """Split a unit's name into its plain name and whether it was counted as large context."""
    plain = unit.removesuffix(LARGE_CONTEXT)
    return plain, plain != unit


def tokens(units: Units) -> Counts:
    """Add up the counters of the units that count tokens; searches, guardrails and the like are left out."""
    read = written = 0
    for unit, (input_count, output_count) in units.items():
        if _counts_tokens(unit):
            read += input_count
            written += output_count
    return Counts(read, written)


@lru_cache(maxsize=512)
def _counts_tokens(unit: str) -> bool:
    return _TOKEN_UNIT.fullmatch(split_large_context(unit)[0]) is not None
