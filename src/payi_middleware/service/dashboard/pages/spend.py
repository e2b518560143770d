"""Spend by user, account, use case, step, model or category: tables of names, and their bars over time."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from decimal import Decimal
from typing import Any

from payi_middleware.service.dashboard.filters import Dimension, Filters
from payi_middleware.service.dashboard.queries.breakdown import Part, breakdown, parts_over_time
from payi_middleware.service.dashboard.queries.sums import ORDERS, Sums, over_time, total
from payi_middleware.service.dashboard.queries.view import View
from payi_middleware.service.dashboard.tables import Cell, Column, Row, Table
from payi_middleware.service.store import clock

from .charting import Chart, Series, chart
from .context import LACKING, TITLES, Export, Later, NotThereError, Page, Read, takes_long
from .named_rows import columns_of, row_of

__all__ = ["DIMENSIONS", "EXPORTS", "panel", "spend", "spend_at_once", "stacked"]

DIMENSIONS = {
    "users": Dimension.USER,
    "accounts": Dimension.ACCOUNT,
    "use-cases": Dimension.USE_CASE,
    "steps": Dimension.STEP,
    "models": Dimension.RESOURCE,
    "categories": Dimension.CATEGORY,
}
"""By the last part of the page's path."""
_PATHS = {dimension: path for path, dimension in DIMENSIONS.items()}
_AT_ONCE = 50
_TOP = 5
_MOST_PAGES = 10_000


def panel(view: View, page: Page, dimension: Dimension, everything: Sums, limit: int = _TOP) -> Table:
    """Return the dearest names of a dimension."""
    parts = breakdown(view, page.filters, dimension, limit=limit)
    return Table(
        name=_PATHS[dimension],
        caption=f"By {TITLES[dimension][0].lower()}",
        columns=columns_of(dimension, short=True),
        rows=[row_of(page, dimension, part, everything) for part in parts],
        export=page.url(f"/export/{_PATHS[dimension]}.csv"),
        more=page.url(f"/spend/{_PATHS[dimension]}") if len(parts) == limit else None,
    )


def spend(view: View, page: Page, path: str) -> dict[str, Any]:
    """Return the page of a dimension; with its table later, where that takes a while."""
    dimension = DIMENSIONS.get(path)
    if dimension is None or not takes_long(page, dimension):
        return spend_at_once(view, page, path)
    bars = over_time(view, page.filters)
    sort, number = _order(page), page.parameters.get("page")
    return {
        "path": path,
        "dimension": dimension,
        "chart": chart(page.filters.period, [Series("Spend", bars)], "Spend over time", bars, page),
        "table": Later(_caption(dimension), page.url(f"/table/{path}", sort=_unusual(sort), page=number)),
    }


def _caption(dimension: Dimension) -> str:
    return f"Spend by {TITLES[dimension][0].lower()}"


def _order(page: Page) -> str:
    order = page.parameters.get("sort", "cost")
    return order if order in ORDERS else "cost"


def spend_at_once(view: View, page: Page, path: str) -> dict[str, Any]:
    """Return the page of a dimension, with all that is on it.

    Raises:
        NotThereError: there is no such dimension.
    """
    dimension = DIMENSIONS.get(path)
    if dimension is None:
        raise NotThereError("There is no such breakdown.")
    order = _order(page)
    number = _page_number(page)
    everything = total(view, page.filters)
    offset = (number - 1) * _AT_ONCE
    parts = breakdown(view, page.filters, dimension, order=order, limit=_AT_ONCE + 1, offset=offset)
    here = f"/spend/{path}"
    table = Table(
        name=path,
        caption=_caption(dimension),
        columns=columns_of(dimension),
        rows=[row_of(page, dimension, part, everything) for part in parts[:_AT_ONCE]],
        export=page.url(f"/export/{path}.csv", sort=order if order != "cost" else None),
        orders={name: page.url(here, sort=name if name != "cost" else None) for name in ORDERS},
        order=order,
        more=page.url(here, sort=_unusual(order), page=number + 1) if len(parts) > _AT_ONCE else None,
        less=page.url(here, sort=_unusual(order), page=number - 1 if number > 2 else None) if number > 1 else None,
    )
    top = (
        parts[:_TOP]
        if order == "cost" and number == 1
        else breakdown(view, page.filters, dimension, limit=_TOP, with_before=False)
    )
    return {
        "path": path,
        "dimension": dimension,
        "everything": everything,
        "chart": stacked(view, page, dimension, top),
        "table": table,
    }


def _unusual(order: str) -> str | None:
    return None if order == "cost" else order


def _page_number(page: Page) -> int:
    asked = page.parameters.get("page", "1")
    return min(max(int(asked), 1), _MOST_PAGES) if asked.isdecimal() and len(asked) < 9 else 1


def stacked(view: View, page: Page, dimension: Dimension, top: Sequence[Part]) -> Chart:
    """Return bars over time, of the dearest names and of all others together."""
    bars = over_time(view, page.filters)
    series = []
    for part, of_part in zip(top, parts_over_time(view, page.filters, dimension, top), strict=True):
        series.append(Series(part.values[dimension] or LACKING.get(dimension, "(none)"), of_part))
    rest = {}
    for bar, sums in bars.items():
        others = sums.cost - sum((one.bars[bar].cost for one in series if bar in one.bars), Decimal())
        if others > 0:
            rest[bar] = Sums(input_cost=others)
    if rest:
        series.append(Series("All others", rest))
    return chart(page.filters.period, series, f"Spend by {TITLES[dimension][0].lower()}", bars, page)


def _export(dimension: Dimension) -> Export:
    def rows(page: Page, read: Read[Iterable[Row]]) -> Iterator[Iterable[Row]]:
        def all_of(view: View) -> Iterable[Row]:
            everything = total(view, page.filters)
            order = page.parameters.get("sort", "cost")
            parts = breakdown(view, page.filters, dimension, order=order if order in ORDERS else "cost")
            return [row_of(page, dimension, part, everything) for part in parts]

        yield read(all_of)

    return Export(lambda _page, _read: columns_of(dimension), rows)


def _bars_export() -> Export:
    columns = (
        Column("time", "Time", Cell.TIME),
        Column("cost", "Spend", Cell.MONEY),
        Column("input_cost", "Input", Cell.MONEY),
        Column("output_cost", "Output", Cell.MONEY),
        Column("requests", "Requests", Cell.COUNT),
        Column("failed", "Failed", Cell.COUNT),
        Column("input_tokens", "Tokens in", Cell.COUNT),
        Column("output_tokens", "Tokens out", Cell.COUNT),
    )

    def rows(page: Page, read: Read[Iterable[Row]]) -> Iterator[Iterable[Row]]:
        yield read(lambda view: bar_rows(page.filters, over_time(view, page.filters)))

    return Export(lambda _page, _read: columns, rows)


def bar_rows(filters: Filters, bars: dict[int, Sums]) -> list[Row]:
    """Return a row for each bar of a period, those without requests too."""
    return [
        {
            "time": bar * clock.HOUR,
            "cost": sums.cost,
            **{name: getattr(sums, name) for name in ("input_cost", "output_cost", "requests", "failed")},
            **{name: getattr(sums, name) for name in ("input_tokens", "output_tokens")},
        }
        for bar in filters.period.buckets
        for sums in (bars.get(bar, Sums()),)
    ]


EXPORTS: dict[str, Export] = {
    **{path: _export(dimension) for path, dimension in DIMENSIONS.items()},
    "spend-over-time": _bars_export(),
}
