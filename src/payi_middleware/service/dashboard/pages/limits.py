"""Limits: gauges, what they were charged with and by whom, and how often they were reset."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from typing import Any

from payi_middleware.service.dashboard.filters import Dimension, Filters
from payi_middleware.service.dashboard.queries.breakdown import breakdown
from payi_middleware.service.dashboard.queries.budgets import Budget, all_budgets, budget, past_budgets
from payi_middleware.service.dashboard.queries.lists import charged_to
from payi_middleware.service.dashboard.queries.sums import over_time, total
from payi_middleware.service.dashboard.queries.view import View
from payi_middleware.service.dashboard.tables import Cell, Column, Name, Row, Table
from payi_middleware.service.store.schema import STATES

from .charting import Series, chart
from .context import Export, NotThereError, Page, Read
from .listing import COLUMNS, request_row
from .named_rows import columns_of, row_of

__all__ = ["EXPORTS", "limit", "limits", "pressing"]

_PRESSING = 4
_GAUGES = 60
_SUMS = (
    Column("spent", "Spent", Cell.MONEY),
    Column("max", "Maximum", Cell.MONEY),
    Column("used", "Used", Cell.PERCENT),
    Column("state", "State", Cell.STATE),
)
_TITLES = {"blocked_external": ""}
"""Columns that are in the file only."""
_COUNTS = (
    Column("requests", "Requests", Cell.COUNT),
    *(Column(state, _TITLES.get(state, state.capitalize()), Cell.COUNT) for state in STATES if state != "ok"),
)
_ALL = (
    Column("limit_id", "Limit", Cell.NAME, heads=True),
    Column("limit_name", ""),
    Column("type", "Type"),
    *_SUMS,
    Column("left", "Left", Cell.MONEY),
    Column("threshold", "", Cell.NUMBER),
    Column("since", "Since (UTC)", Cell.TIME),
    *_COUNTS,
)
_HISTORY = (
    Column("begin", "From (UTC)", Cell.TIME, heads=True),
    Column("end", "Reset (UTC)", Cell.TIME),
    *_SUMS,
    *_COUNTS,
)


def _row(page: Page, one: Budget) -> Row:
    return {
        "limit_id": Name(one.limit_id, page.plain_url("limits", one.limit_id)),
        "limit_name": one.name,
        "type": one.type,
        "spent": one.spent,
        "max": one.max,
        "used": one.used,
        "left": one.left,
        "state": one.state,
        "threshold": one.threshold,
        "since": one.begin,
        "begin": one.begin,
        "end": one.end,
        "requests": one.requests,
        **one.counts,
    }


def pressing(view: View, page: Page) -> list[tuple[Budget, str]]:
    """Return the limits that are nearest to their maximum, or above it, with the addresses of their pages."""
    return [(one, page.plain_url("limits", one.limit_id)) for one in all_budgets(view, _PRESSING)]


def limits(view: View, page: Page) -> dict[str, Any]:
    """Return the page of all limits."""
    found = all_budgets(view)
    return {
        "gauges": [(one, page.plain_url("limits", one.limit_id)) for one in found[:_GAUGES]],
        "table": Table(
            name="limits",
            caption="All limits",
            columns=_ALL,
            rows=[_row(page, one) for one in found],
            empty="There are no limits yet. Make one: POST /api/v1/limits",
            export=page.plain_url("export", "limits.csv"),
        ),
    }


def _about(page: Page, limit_id: str) -> Filters:
    return page.filters.without(*Dimension, "status").having({Dimension.LIMIT: limit_id})


def limit(view: View, page: Page, limit_id: str) -> dict[str, Any]:
    """Return the page of one limit.

    Raises:
        NotThereError: there is none, and there never was.
    """
    now, past = budget(view, limit_id), past_budgets(view, limit_id)
    charged = charged_to(view, limit_id)
    if now is None and not past and not charged:
        raise NotThereError("There is no such limit, or it is another application's.")
    about = _about(page, limit_id)
    bars = over_time(view, about)
    return {
        "limit_id": limit_id,
        "budget": now,
        "chart": chart(
            about.period, [Series("Spend", bars)], "Charged to this limit", bars, replace(page, filters=about)
        ),
        "tables": [_users(view, page, limit_id), _history(page, limit_id, past), _charged(page, limit_id, charged)],
    }


def _user_rows(view: View, page: Page, limit_id: str, at_most: int | None) -> list[Row]:
    about = _about(page, limit_id)
    everything = total(view, about)
    return [
        row_of(page, Dimension.USER, part, everything) for part in breakdown(view, about, Dimension.USER, limit=at_most)
    ]


def _users(view: View, page: Page, limit_id: str) -> Table:
    return Table(
        name="limit-users",
        caption="Charged by user",
        columns=columns_of(Dimension.USER, short=True),
        rows=_user_rows(view, page, limit_id, 10),
        export=page.url("/export/limit-users.csv", _about(page, limit_id)),
    )


def _history(page: Page, limit_id: str, past: Sequence[Budget]) -> Table:
    return Table(
        name="limit-history",
        caption="Past periods",
        columns=_HISTORY,
        rows=[_row(page, one) for one in past],
        empty="It was never reset. To begin a new period: POST /api/v1/limits/{limit_id}/reset",
        export=page.plain_url("export", "limit-history.csv", limit=limit_id),
    )


_CHARGED = (*COLUMNS[:2], Column("state", "State after it", Cell.STATE), *COLUMNS[3:], Column("status", ""))


def _charged_rows(page: Page, limit_id: str, rows: Iterable[Any]) -> list[Row]:
    return [{**request_row(page, row), "state": (row["limits"] or {}).get(limit_id)} for row in rows]


def _charged(page: Page, limit_id: str, rows: Iterable[Any]) -> Table:
    return Table(
        name="limit-requests",
        caption="Its latest requests",
        columns=_CHARGED,
        rows=_charged_rows(page, limit_id, rows),
        empty="No request has counted against it yet: name it in limit_ids.",
        export=page.plain_url("export", "limit-requests.csv", limit=limit_id),
    )


def _named(page: Page) -> str:
    return page.parameters.get("limit", "")


def _limits_export(page: Page, read: Read[Iterable[Row]]) -> Iterator[Iterable[Row]]:
    yield read(lambda view: [_row(page, one) for one in all_budgets(view)])


def _users_export(page: Page, read: Read[Iterable[Row]]) -> Iterator[Iterable[Row]]:
    yield read(lambda view: _user_rows(view, page, _named(page), None))


def _history_export(page: Page, read: Read[Iterable[Row]]) -> Iterator[Iterable[Row]]:
    yield read(lambda view: [_row(page, one) for one in past_budgets(view, _named(page))])


def _requests_export(page: Page, read: Read[Iterable[Row]]) -> Iterator[Iterable[Row]]:
    yield read(lambda view: _charged_rows(page, _named(page), charged_to(view, _named(page), 10_000)))


EXPORTS: dict[str, Export] = {
    "limits": Export(lambda _page, _read: _ALL, _limits_export),
    "limit-users": Export(lambda _page, _read: columns_of(Dimension.USER), _users_export),
    "limit-history": Export(lambda _page, _read: _HISTORY, _history_export),
    "limit-requests": Export(lambda _page, _read: _CHARGED, _requests_export),
}
