"""Names with what was spent for them, as rows of tables."""

from __future__ import annotations

from typing import Any

from payi_middleware.service.dashboard.filters import Dimension
from payi_middleware.service.dashboard.formatting import change
from payi_middleware.service.dashboard.queries.breakdown import Part
from payi_middleware.service.dashboard.queries.sums import Sums
from payi_middleware.service.dashboard.tables import Cell, Column, Name, Row

from .context import LACKING, TITLES, Page

__all__ = ["columns_of", "name_of", "row_of"]

_SHORT = (
    Column("cost", "Spend", Cell.MONEY, "cost"),
    Column("share", "Share", Cell.SHARE),
    Column("trend", "Trend", Cell.CHANGE),
    Column("requests", "Requests", Cell.COUNT, "requests"),
)
_LONG = (
    *_SHORT,
    Column("failed", "Failed", Cell.COUNT, "failed"),
    Column("input_tokens", "Tokens in", Cell.COUNT, "input"),
    Column("output_tokens", "Tokens out", Cell.COUNT, "output"),
    Column("mean_latency_ms", "Mean latency", Cell.DURATION, "latency"),
    Column("mean_cost", "Per request", Cell.MONEY),
    Column("input_cost", "", Cell.MONEY),
    Column("output_cost", "", Cell.MONEY),
    Column("cost_before", "", Cell.MONEY),
)


def columns_of(dimension: Dimension, *, short: bool = False) -> list[Column]:
    """Return the columns of a table by names."""
    title = TITLES[dimension][0]
    first = [Column(str(dimension), title, Cell.NAME, heads=True)]
    if dimension is Dimension.STEP:
        first = [Column("step", title, Cell.NAME, heads=True), Column("use_case", "Use case", Cell.NAME)]
    if dimension is Dimension.RESOURCE:
        first = [
            Column("resource", title, Cell.NAME, heads=True),
            Column("category", "" if short else "Category", Cell.TEXT),
        ]
    return [*first, *(_SHORT if short else _LONG)]


def name_of(page: Page, part: Part, dimension: Dimension) -> Name:
    """Return what a part is called, with a link to the overview of its requests."""
    asked = page.filters.having(part.values)
    return Name(part.values[dimension], page.url("/", asked), LACKING.get(dimension, "(none)"))


def row_of(page: Page, dimension: Dimension, part: Part, everything: Sums) -> Row:
    """Return a part as a row; its share is of the whole of `everything`."""
    sums = part.sums
    row: dict[str, Any] = {str(name): value for name, value in part.values.items()}
    if dimension is Dimension.STEP:
        use_case = {Dimension.USE_CASE: part.values[Dimension.USE_CASE]}
        row["use_case"] = Name(part.values[Dimension.USE_CASE], page.url("/", page.filters.having(use_case)))
    row[str(dimension)] = name_of(page, part, dimension)
    return {
        **row,
        "cost": sums.cost,
        "share": _share(sums, everything),
        "trend": change(sums.cost, part.before.cost),
        "requests": sums.requests,
        "failed": sums.failed,
        "input_tokens": sums.input_tokens,
        "output_tokens": sums.output_tokens,
        "mean_latency_ms": sums.mean_latency,
        "mean_cost": sums.mean_cost,
        "input_cost": sums.input_cost,
        "output_cost": sums.output_cost,
        "cost_before": part.before.cost,
    }


def _share(sums: Sums, everything: Sums) -> float | None:
    if everything.cost:
        return float(sums.cost) / float(everything.cost)
    return sums.requests / everything.requests if everything.requests else None
