"""Who or what the money went to: sums by name, each with its share, and with what it was in the period before."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from payi_middleware.service.dashboard.filters import Dimension, Filters

from .naming import Values, named
from .sums import ORDERS, Sums, grouped, over_time_by
from .view import View

__all__ = ["Part", "breakdown", "parts_over_time"]

_MEASURES: dict[str, Callable[[Sums], Any]] = {
    "cost": lambda sums: sums.cost,
    "requests": lambda sums: sums.requests,
    "failed": lambda sums: sums.failed,
    "input": lambda sums: sums.input_tokens,
    "output": lambda sums: sums.output_tokens,
    "latency": lambda sums: sums.mean_latency or 0,
}
assert _MEASURES.keys() == ORDERS.keys()


@dataclass(frozen=True, slots=True)
class Part:
    """One name's part.

    Args:
        keys: all that it is made of; several where a category has several resources.
        before: what it was in the period before.
    """

    keys: tuple[tuple[int, ...], ...]
    values: Values
    sums: Sums
    before: Sums


def breakdown(
    view: View,
    filters: Filters,
    dimension: Dimension,
    *,
    order: str = "cost",
    limit: int | None = None,
    offset: int = 0,
    with_before: bool = True,
) -> list[Part]:
    """Return the parts of a dimension, the largest first.

    Args:
        order: one of `ORDERS`.
        limit, offset: which of them.
    """
    if dimension is Dimension.CATEGORY:
        parts = _merged(_parts(view, filters, Dimension.RESOURCE, with_before=with_before))
        parts.sort(key=lambda part: _MEASURES[order](part.sums), reverse=True)
        return parts[offset:][:limit]
    return _parts(view, filters, dimension, order=order, limit=limit, offset=offset, with_before=with_before)


def _parts(
    view: View,
    filters: Filters,
    dimension: Dimension,
    *,
    order: str = "cost",
    limit: int | None = None,
    offset: int = 0,
    with_before: bool,
) -> list[Part]:
    rows = grouped(view, filters, dimension, order=order, limit=limit, offset=offset)
    keys = [key for key, _ in rows]
    before: dict[tuple[int, ...], Sums] = {}
    if with_before and keys:
        earlier = filters.during(filters.period.before)
        before = dict(grouped(view, earlier, dimension, only=None if limit is None else keys))
    names = named(view, dimension, keys)
    return [Part((key,), names[key], sums, before.get(key, Sums())) for key, sums in rows]


def _merged(parts: Iterable[Part]) -> list[Part]:
    """Put the resources of a category together."""
    merged: dict[str | None, Part] = {}
    for part in parts:
        category = part.values[Dimension.CATEGORY]
        if (known := merged.get(category)) is None:
            merged[category] = Part(part.keys, {Dimension.CATEGORY: category}, part.sums, part.before)
        else:
            sums, before = known.sums + part.sums, known.before + part.before
            merged[category] = Part((*known.keys, *part.keys), known.values, sums, before)
    return list(merged.values())


def parts_over_time(view: View, filters: Filters, dimension: Dimension, parts: Sequence[Part]) -> list[dict[int, Sums]]:
    """Return the sums of each part by the period's bars."""
    column = Dimension.RESOURCE if dimension is Dimension.CATEGORY else dimension
    found = over_time_by(view, filters, column, [key for part in parts for key in part.keys])
    told: list[dict[int, Sums]] = []
    for part in parts:
        bars: dict[int, Sums] = {}
        for key in part.keys:
            for bar, sums in found[key].items():
                bars[bar] = bars.get(bar, Sums()) + sums
        told.append(bars)
    return told
