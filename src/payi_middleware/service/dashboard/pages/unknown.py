"""Models that were used and that no price is known for: what they cost is in no sum."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from payi_middleware.service.accounts.unpriced import every as units_without_price
from payi_middleware.service.dashboard.filters import Dimension
from payi_middleware.service.dashboard.queries.unpriced import Unpriced, count_unpriced, unpriced
from payi_middleware.service.dashboard.queries.view import View
from payi_middleware.service.dashboard.tables import Cell, Column, Name, Row, Table
from payi_middleware.service.store import clock

from .context import LACKING, Export, Page, Read

__all__ = ["EXPORTS", "count_unpriced", "unknown"]

_COLUMNS = (
    Column("resource", "Model", Cell.NAME, heads=True),
    Column("category", "Category"),
    Column("requests", "Requests", Cell.COUNT),
    Column("input_tokens", "Tokens in", Cell.COUNT),
    Column("output_tokens", "Tokens out", Cell.COUNT),
    Column("first", "First (UTC)", Cell.TIME),
    Column("last", "Last (UTC)", Cell.TIME),
)
_UNITS = (
    Column("resource", "Model", Cell.NAME, heads=True),
    Column("category", "Category"),
    Column("unit", "Unit"),
    Column("input_units", "In", Cell.COUNT),
    Column("output_units", "Out", Cell.COUNT),
    Column("first", "First (UTC)", Cell.TIME),
    Column("last", "Last (UTC)", Cell.TIME),
)


def _row(page: Page, one: Unpriced) -> Row:
    asked = page.filters.having({Dimension.CATEGORY: one.category, Dimension.RESOURCE: one.resource})
    return {
        "resource": Name(one.resource, page.url("/requests", asked), LACKING[Dimension.RESOURCE]),
        "category": one.category,
        "requests": one.requests,
        "input_tokens": one.input_tokens,
        "output_tokens": one.output_tokens,
        "first": one.first,
        "last": one.last,
    }


def _unit_rows(view: View) -> list[Row]:
    return [
        {
            "resource": Name(one.resource, None, LACKING[Dimension.RESOURCE]),
            "category": one.category,
            "unit": unit,
            "input_units": counts["input"],
            "output_units": counts["output"],
            "first": clock.micros(one.first_seen),
            "last": clock.micros(one.last_seen),
        }
        for one in units_without_price(view.connection, view.application_id)
        for unit, counts in one.units.items()
    ]


def unknown(view: View, page: Page) -> dict[str, Any]:
    """Return the page."""
    return {
        "units": Table(
            name="unpriced-units",
            caption="Units without a known price, in any period",
            columns=_UNITS,
            rows=_unit_rows(view),
            empty="Every unit that was used has a price.",
            export=page.plain_url("export", "unpriced-units.csv"),
            note="What came in within the last seconds may not be in it yet.",
        ),
        "table": Table(
            name="unknown",
            caption="Models without a known price",
            columns=_COLUMNS,
            rows=[_row(page, one) for one in unpriced(view, page.filters)],
            empty="Every model that was used in this period has a price.",
            export=page.url("/export/unknown.csv"),
        ),
    }


def _export(page: Page, read: Read[Iterable[Row]]) -> Iterator[Iterable[Row]]:
    yield read(lambda view: [_row(page, one) for one in unpriced(view, page.filters)])


def _units_export(_page: Page, read: Read[Iterable[Row]]) -> Iterator[Iterable[Row]]:
    yield read(_unit_rows)


EXPORTS: dict[str, Export] = {
    "unknown": Export(lambda _page, _read: _COLUMNS, _export),
    "unpriced-units": Export(lambda _page, _read: _UNITS, _units_export),
}
