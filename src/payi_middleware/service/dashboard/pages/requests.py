"""Requests: the newest, the dearest, the slowest, those that failed; and one with everything that is known of it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from payi_middleware.service.accounts.records import total_cost
from payi_middleware.service.dashboard.filters import Dimension
from payi_middleware.service.dashboard.queries.lists import LISTED, Cursor, Sort, find, largest, newest
from payi_middleware.service.dashboard.queries.view import View
from payi_middleware.service.dashboard.tables import Cell, Column, Name, Row, Table
from payi_middleware.service.store.money import join

from .context import Export, NotThereError, Page, Read
from .listing import COLUMNS, request_row, status_of
from .splitting import cost_split

__all__ = ["EXPORTS", "request", "requests"]

_AT_ONCE = 2_000
_CAPTIONS = {
    Sort.NEWEST: "Requests, the newest first",
    Sort.DEAREST: "The dearest requests",
    Sort.SLOWEST: "The slowest requests",
}


def _sort(page: Page) -> Sort:
    asked = page.parameters.get("sort", "")
    return Sort(asked) if asked in list(Sort) else Sort.NEWEST


def requests(view: View, page: Page) -> dict[str, Any]:
    """Return the page."""
    sort = _sort(page)
    more = None
    if sort is Sort.NEWEST:
        rows = newest(view, page.filters, Cursor.parse(page.parameters.get("after", "")), LISTED + 1)
        if len(rows) > LISTED:
            rows = rows[:LISTED]
            more = page.url("/requests", after=str(Cursor(rows[-1]["event_timestamp"], rows[-1]["request_id"])))
    else:
        rows = largest(view, page.filters, sort)
    usual = sort is Sort.NEWEST
    return {
        "sort": sort,
        "sorts": {one: page.url("/requests", sort=None if one is Sort.NEWEST else one) for one in Sort},
        "table": Table(
            name="requests",
            caption=_CAPTIONS[sort],
            columns=COLUMNS,
            rows=[request_row(page, row) for row in rows],
            empty="No request in this period matches. Choose a longer period, or take a filter off.",
            export=page.url("/export/requests.csv", sort=None if usual else sort),
            more=more,
            less=page.url("/requests") if page.parameters.get("after") and usual else None,
            note="" if usual else f"At most {LISTED}, of all requests in the period.",
        ),
    }


def _all(page: Page, read: Read[Any]) -> Iterator[Iterable[Row]]:
    sort = _sort(page)
    if sort is not Sort.NEWEST:
        yield [request_row(page, row) for row in read(lambda view: largest(view, page.filters, sort))]
        return
    after: Cursor | None = None
    while True:
        last = after
        rows = read(lambda view: newest(view, page.filters, last, _AT_ONCE))  # noqa: B023 - called at once
        yield [request_row(page, row) for row in rows]
        if len(rows) < _AT_ONCE:
            return
        after = Cursor(rows[-1]["event_timestamp"], rows[-1]["request_id"])


_NOTE = Column("note", "Note", Cell.TEXT)
_UNIT_COLUMNS = (
    Column("unit", "Unit", heads=True),
    Column("input_count", "In", Cell.COUNT),
    Column("output_count", "Out", Cell.COUNT),
    Column("input_cost", "Cost in", Cell.MONEY),
    Column("output_cost", "Cost out", Cell.MONEY),
    Column("cost", "Cost", Cell.MONEY),
    _NOTE,
)
_PAIR_COLUMNS = (Column("name", "Name", heads=True), Column("value", "Value", Cell.TEXT))
_LIMIT_COLUMNS = (
    Column("limit_id", "Limit", Cell.NAME, heads=True),
    Column("state", "State after this request", Cell.STATE),
)


def request(view: View, page: Page, request_id: str) -> dict[str, Any]:
    """Return the page of one request.

    Raises:
        NotThereError: there is none.
    """
    row = _found(view, request_id)
    cost = total_cost(row)
    return {
        "row": row,
        "status": status_of(row),
        "cost": cost,
        "input_cost": join(row["input_cost_micros"], row["input_cost_rest"]),
        "output_cost": join(row["output_cost_micros"], row["output_cost_rest"]),
        "overrun": join(row["overrun_micros"], row["overrun_rest"]),
        "shown": request_row(page, row),
        "step_url": page.url(
            "/",
            page.filters.having({Dimension.USE_CASE: row["use_case_name"], Dimension.STEP: row["use_case_step"]}),
        ),
        "account_url": page.url("/", page.filters.having({Dimension.ACCOUNT: row["account_name"]})),
        "instance_url": _instance_url(page, row),
        "tables": [_table(view, page, request_id, name, row) for name in _PARTS],
    }


def _instance_url(page: Page, row: Mapping[Any, Any]) -> str | None:
    if not row["use_case_name"] or not row["use_case_id"]:
        return None
    return page.plain_url("use-cases", row["use_case_name"], row["use_case_id"])


def _found(view: View, request_id: str) -> Mapping[Any, Any]:
    row = find(view, request_id)
    if row is None:
        raise NotThereError("There is no such request, or it is another application's.")
    return row


def _unit_rows(view: View, _page: Page, row: Mapping[Any, Any]) -> list[Row]:
    return cost_split(view, row)


def _limit_rows(_view: View, page: Page, row: Mapping[Any, Any]) -> list[Row]:
    return [
        {"limit_id": Name(limit_id, page.plain_url("limits", limit_id)), "state": state}
        for limit_id, state in (row["limits"] or {}).items()
    ]


def _pairs(field: str) -> Any:
    def rows(_view: View, _page: Page, row: Mapping[Any, Any]) -> list[Row]:
        return [{"name": name, "value": value} for name, value in sorted((row[field] or {}).items())]

    return rows


_PARTS: dict[str, tuple[str, Sequence[Column], Any, str]] = {
    "units": ("Units and cost", _UNIT_COLUMNS, _unit_rows, "It used nothing that is counted."),
    "limits": ("Limits", _LIMIT_COLUMNS, _limit_rows, "It counted against no limit: name some with limit_ids."),
    "properties": (
        "Request properties",
        _PAIR_COLUMNS,
        _pairs("properties"),
        "It has none: add some with request_properties.",
    ),
    "use-case-properties": (
        "Use case properties",
        _PAIR_COLUMNS,
        _pairs("use_case_properties"),
        "It brought none along.",
    ),
}


def _table(view: View, page: Page, request_id: str, name: str, row: Mapping[Any, Any]) -> Table:
    caption, columns, rows, empty = _PARTS[name]
    export = page.plain_url("export", f"request-{name}.csv", request=request_id)
    found: list[Row] = rows(view, page, row)
    noted = any(one.get(_NOTE.name) for one in found)
    shown = [column for column in columns if noted or column is not _NOTE]
    return Table(name, caption, shown, found, empty, export)


def _part_export(name: str) -> Export:
    _, columns, rows, _ = _PARTS[name]

    def all_rows(page: Page, read: Read[Iterable[Row]]) -> Iterator[Iterable[Row]]:
        request_id = page.parameters.get("request", "")
        yield read(lambda view: rows(view, page, _found(view, request_id)))

    return Export(lambda _page, _read: columns, all_rows)


EXPORTS: dict[str, Export] = {
    "requests": Export(lambda _page, _read: COLUMNS, _all),
    **{f"request-{name}": _part_export(name) for name in _PARTS},
}
