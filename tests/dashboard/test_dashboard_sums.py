"""What pages say is what the requests add up to, however much of them is in the rollups."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping
from decimal import Decimal
from itertools import combinations
from typing import Any

import pytest
from sqlalchemy import Connection, select

from payi_middleware.service.accounts import rollups
from payi_middleware.service.accounts.records import total_cost
from payi_middleware.service.dashboard.filters import Dimension, Filters, Status
from payi_middleware.service.dashboard.periods import Period, period_of
from payi_middleware.service.dashboard.queries.breakdown import breakdown
from payi_middleware.service.dashboard.queries.lists import LISTED, Cursor, Sort, largest, newest
from payi_middleware.service.dashboard.queries.sums import Sums, over_time, total
from payi_middleware.service.dashboard.queries.unpriced import count_unpriced, unpriced
from payi_middleware.service.dashboard.queries.view import View
from payi_middleware.service.ledger import Ledger
from payi_middleware.service.store import clock
from payi_middleware.service.store.schema import requests
from tests.dashboard.world import MODELS, UNKNOWN, fill, fold_all

Row = Mapping[Any, Any]
FIELDS: dict[Dimension, str] = {
    Dimension.USER: "user_id",
    Dimension.ACCOUNT: "account_name",
    Dimension.USE_CASE: "use_case_name",
    Dimension.STEP: "use_case_step",
    Dimension.CATEGORY: "category",
    Dimension.RESOURCE: "resource",
    Dimension.INSTANCE: "use_case_id",
}
VALUES: dict[Dimension, str | None] = {
    Dimension.USER: "alice",
    Dimension.ACCOUNT: "acme",
    Dimension.USE_CASE: "support-chat",
    Dimension.STEP: "answer",
    Dimension.CATEGORY: MODELS[0][0],
    Dimension.RESOURCE: MODELS[0][1],
}
FILTERS: list[dict[Dimension, str | None]] = [
    {},
    *({name: VALUES[name]} for name in VALUES),
    *({first: VALUES[first], second: VALUES[second]} for first, second in combinations(VALUES, 2)),
    {Dimension.USER: None},
    {Dimension.STEP: None},
    {Dimension.USE_CASE: None},
    {Dimension.USE_CASE: None, Dimension.STEP: None},
    {Dimension.ACCOUNT: None, Dimension.USER: "bob"},
    {Dimension.USE_CASE: "support-chat", Dimension.INSTANCE: "case 3/β"},
    {Dimension.CATEGORY: UNKNOWN[0]},
    {Dimension.USER: "nobody who was ever here"},
    {Dimension.LIMIT: "team"},
    {Dimension.LIMIT: "trial/1", Dimension.ACCOUNT: "acme"},
    VALUES,
]
GROUPS = [name for name in Dimension if name is not Dimension.LIMIT]


def read(ledger: Ledger, function: Callable[..., Any], *args: Any, **more: Any) -> Any:
    def call(connection: Connection, application_id: int) -> Any:
        return function(View(connection, application_id, ledger.prices), *args, **more)

    return ledger.snapshot(call)


def stored(ledger: Ledger) -> list[Row]:
    def rows(connection: Connection, application_id: int) -> list[Row]:
        own = requests.c.application_id == application_id
        return [dict(row) for row in connection.execute(select(requests).where(own)).mappings()]

    return ledger.read(rows)


def status(row: Row) -> Status:
    if row["blocked"]:
        return Status.BLOCKED
    return Status.FAILED if row["failed"] else Status.OK


def matches(row: Row, filters: Filters) -> bool:
    begin, end = filters.period.micros
    for name, value in filters.values.items():
        if name is Dimension.LIMIT:
            if value not in (row["limits"] or {}):
                return False
        elif row[FIELDS[name]] != value:
            return False
    return begin <= row["event_timestamp"] < end and filters.status in (None, status(row))


def expected(rows: list[Row]) -> Sums:
    """Add up requests in Python."""
    return Sums(
        requests=len(rows),
        failed=sum(row["failed"] for row in rows),
        blocked=sum(row["blocked"] for row in rows),
        input_tokens=sum(row["input_tokens"] for row in rows),
        output_tokens=sum(row["output_tokens"] for row in rows),
        input_cost=sum((_side(row, "input") for row in rows), Decimal()),
        output_cost=sum((_side(row, "output") for row in rows), Decimal()),
        latency_ms=sum(row["end_to_end_latency_ms"] or 0 for row in rows),
        timed=sum(row["end_to_end_latency_ms"] is not None for row in rows),
    )


def _side(row: Row, side: str) -> Decimal:
    quanta = row[f"{side}_cost_micros"] * 10**9 + row[f"{side}_cost_rest"]
    return Decimal(quanta).scaleb(-15)


def periods() -> list[Period]:
    now = clock.now()
    day = f"{now:%Y-%m-%d}"
    queries: tuple[dict[str, str], ...] = (
        {"period": "24h"},
        {"period": "7d"},
        {},
        {"period": "90d"},
        {"from": day, "to": day},
    )
    return [period_of(query, now) for query in queries]


@pytest.fixture(params=[0.0, 0.6, 1.0], ids=["nothing-folded", "half-folded", "folded"])
def filled(ledger: Ledger, request: pytest.FixtureRequest) -> Ledger:
    fill(ledger, fold=request.param)
    if request.param == 1.0:
        fold_all(ledger)
        ledger.write(rollups.compact)
    return ledger


def test_every_total_is_that_of_the_requests_that_match(filled: Ledger) -> None:
    rows = stored(filled)
    usual = periods()[1]
    for period, asked in [*((period, None) for period in periods()), *((usual, asked) for asked in Status)]:
        for values in FILTERS:
            filters = Filters(period, values, asked)
            wanted = expected([row for row in rows if matches(row, filters)])
            assert read(filled, total, filters) == wanted, filters


def test_a_page_that_is_read_while_requests_are_added_up_counts_each_once(ledger: Ledger) -> None:
    fill(ledger, fold=0.0)
    filters = Filters(periods()[1], {})
    wanted = expected([row for row in stored(ledger) if matches(row, filters)])

    def total_around_a_fold(view: View) -> Sums:
        assert view.unfolded is not None  # what is not added up yet is known before
        fold_all(ledger)
        return total(view, filters)

    assert read(ledger, total_around_a_fold) == wanted


def test_every_breakdown_has_each_name_once_with_its_sums_and_those_of_the_period_before(filled: Ledger) -> None:
    rows = stored(filled)
    for values in [*FILTERS[:7], *FILTERS[7::2]]:  # each dimension by itself, and half of the pairs
        for group in GROUPS:
            filters = Filters(periods()[1], values)
            parts = read(filled, breakdown, filters, group)
            for before in (False, True):
                asked = filters.during(filters.period.before) if before else filters
                found = {tuple(part.values.values()): part.before if before else part.sums for part in parts}
                assert len(found) == len(parts)
                wanted = _by(rows, asked, group)
                if before:
                    wanted = {name: sums for name, sums in wanted.items() if name in found}
                    found = {name: sums for name, sums in found.items() if sums.requests}
                assert found == wanted, (filters, group, before)
            costs = [part.sums.cost for part in parts]
            assert costs == sorted(costs, reverse=True)


def _by(rows: list[Row], filters: Filters, group: Dimension) -> dict[tuple[Any, ...], Sums]:
    groups: dict[tuple[Any, ...], list[Row]] = defaultdict(list)
    for row in rows:
        of_use_case = group in (Dimension.STEP, Dimension.INSTANCE)
        if matches(row, filters) and not (of_use_case and row["use_case_name"] is None):
            names: tuple[Any, ...] = (row[FIELDS[group]],)
            if of_use_case:
                names = (row["use_case_name"], *names)
            elif group is Dimension.RESOURCE:
                names = (row["category"], *names)
            groups[names].append(row)
    return {names: expected(found) for names, found in groups.items()}


def test_a_page_of_a_breakdown_goes_on_where_the_one_before_has_ended(filled: Ledger) -> None:
    filters = Filters(periods()[3])
    for order in ("cost", "requests", "failed", "latency"):
        whole = read(filled, breakdown, filters, Dimension.USER, order=order)
        pages = [
            part
            for offset in range(0, 8, 2)
            for part in read(filled, breakdown, filters, Dimension.USER, order=order, limit=2, offset=offset)
        ]
        assert pages == whole


def test_bars_over_time_are_those_of_the_requests(filled: Ledger) -> None:
    rows = stored(filled)
    for period in periods()[:3:2]:
        for values in FILTERS:
            filters = Filters(period, values)
            wanted: dict[int, list[Row]] = defaultdict(list)
            for row in rows:
                if matches(row, filters):
                    hour = row["event_timestamp"] // clock.HOUR
                    wanted[hour - (hour - period.begin) % period.step].append(row)
            bars = read(filled, over_time, filters)
            assert bars == {bar: expected(found) for bar, found in wanted.items()}, filters
            assert set(bars) <= set(period.buckets)


@pytest.mark.parametrize("sort", [Sort.DEAREST, Sort.SLOWEST])
def test_the_largest_requests_are_the_largest_of_all(filled: Ledger, sort: Sort) -> None:
    def value(row: Row) -> Any:
        return total_cost(row) if sort is Sort.DEAREST else row["end_to_end_latency_ms"] or 0

    rows = stored(filled)
    for period in periods():
        for values in ({}, {Dimension.USER: "alice"}, {Dimension.USE_CASE: "support-chat", Dimension.STEP: "answer"}):
            filters = Filters(period, values)
            wanted = sorted((value(row) for row in rows if matches(row, filters) and value(row)), reverse=True)
            found = read(filled, largest, filters, sort)
            assert [value(row) for row in found] == wanted[:LISTED]


def test_the_newest_requests_come_in_order_with_none_left_out(filled: Ledger) -> None:
    rows = stored(filled)
    for values, asked in [*((values, None) for values in FILTERS), *(({}, asked) for asked in Status)]:
        filters = Filters(periods()[3], values, asked)
        told: list[str] = []
        after = None
        while True:
            page = read(filled, newest, filters, after, 30)
            told += [row["request_id"] for row in page]
            if len(page) < 30:
                break
            after = Cursor.parse(str(Cursor(page[-1]["event_timestamp"], page[-1]["request_id"])))
        wanted = sorted(
            (row for row in rows if matches(row, filters)),
            key=lambda row: (row["event_timestamp"], row["request_id"]),
            reverse=True,
        )
        assert told == [row["request_id"] for row in wanted], filters


def test_models_without_a_price_are_told_with_what_was_used_of_them(filled: Ledger) -> None:
    filters = Filters(periods()[3])
    rows = [
        row
        for row in stored(filled)
        if matches(row, filters) and row["category"] == UNKNOWN[0] and row["units"] and not row["blocked"]
    ]
    (found,) = read(filled, unpriced, filters)
    assert (found.category, found.resource) == UNKNOWN
    assert found.requests == len(rows) == read(filled, count_unpriced, filters)
    assert found.input_tokens == sum(row["input_tokens"] for row in rows)
    assert (found.first, found.last) == (
        min(row["event_timestamp"] for row in rows),
        max(row["event_timestamp"] for row in rows),
    )
