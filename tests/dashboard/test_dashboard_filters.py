"""Addresses say what a page is about, and what cannot be is an error that says why."""

from __future__ import annotations

from datetime import UTC, datetime
from urllib.parse import parse_qsl

import pytest

from payi_middleware.service.dashboard.filters import Dimension, FilterError, Status, filters_of
from tests.dashboard.conftest import Site

NOW = datetime(2026, 11, 22, 13, 45, tzinfo=UTC)


def read(query: str) -> object:
    return filters_of(parse_qsl(query, keep_blank_values=True), NOW)


@pytest.mark.parametrize(
    ("query", "first", "last", "bars"),
    [
        ("", "2026-10-24", "2026-11-22", 30),
        ("period=7d", "2026-11-16", "2026-11-22", 7),
        ("period=90d", "2026-08-25", "2026-11-22", 90),
        ("period=24h", "2026-11-21", "2026-11-22", 24),
        ("from=2026-01-31&to=2026-02-01", "2026-01-31", "2026-02-01", 2),
        ("period=custom&from=2026-11-20", "2026-11-20", "2026-11-22", 3),
        ("to=2025-01-01", "2025-01-01", "2025-01-01", 1),
    ],
)
def test_a_period_has_the_days_that_it_is_asked_for(query: str, first: str, last: str, bars: int) -> None:
    period = filters_of(parse_qsl(query), NOW).period
    assert (period.first_day.isoformat(), period.last_day.isoformat()) == (first, last)
    assert len(period.buckets) == bars
    assert period.before.end == period.begin
    assert len(period.before.buckets) == bars


@pytest.mark.parametrize(
    "query",
    [
        "",
        "?period=24h&user=alice&status=failed",
        "?period=custom&from=2026-01-02&to=2026-01-03&account=a%26b&no=user",
        "?category=system.openai&resource=gpt-4o&no=step",
        "?use_case=chat&instance=7%2F8&limit=team",
    ],
)
def test_an_address_that_is_written_reads_as_what_was_written(query: str) -> None:
    filters = filters_of(parse_qsl(query.removeprefix("?")), NOW)
    again = filters_of(parse_qsl(filters.query().removeprefix("?")), NOW)
    assert (again.period, dict(again.values), again.status) == (filters.period, dict(filters.values), filters.status)
    assert len(query) == len(filters.query())


def test_empty_and_foreign_parameters_are_left_alone() -> None:
    filters = filters_of(parse_qsl("user=&status=&page=3&x=1&from=&to=", keep_blank_values=True), NOW)
    assert not filters.narrows
    assert filters.query() == ""


def test_filters_are_put_on_and_taken_off() -> None:
    filters = filters_of(parse_qsl("user=alice&status=failed"), NOW)
    more = filters.having({Dimension.USE_CASE: None}).with_status(Status.OK)
    assert more.query() == "?user=alice&no=use_case&status=ok"
    assert more.without("user", "status").query() == "?no=use_case"


WRONG = [
    ("period=1y", "period is one of"),
    ("from=yesterday", "from is a day"),
    ("from=2026-02-30", "from is a day"),
    ("from=2026-02-02&to=2026-02-01", "from has to come before to"),
    ("from=2020-01-01&to=2026-01-01", "366 days apart at most"),
    ("from=0001-01-01&to=0001-01-02", "between 1971 and 9998"),
    ("status=open", "status is one of"),
    ("no=limit", "no is one of"),
    (f"user={'x' * 5000}", "too long"),
]


@pytest.mark.parametrize(("query", "why"), WRONG, ids=[why for _, why in WRONG])
def test_what_cannot_be_is_an_error_that_says_why(query: str, why: str) -> None:
    with pytest.raises(FilterError, match=why):
        read(query)


def test_the_page_of_such_an_error_says_so_too(shared: Site) -> None:
    with shared.signed_in() as client:
        answer = client.get("/spend/users?period=%3Cb%3E")
        assert answer.status_code == 400
        assert "period is one of 24h" in answer.text


def test_a_character_that_no_database_takes_is_an_error_of_who_asks(shared: Site) -> None:
    with shared.signed_in() as client:
        for path in ("/?category=%00", "/suggest/user?user=%00", "/export/request-units.csv?request=%00"):
            assert client.get(path).status_code == 400, path


ODD = (
    "/requests?after=x",
    "/requests?after=99999999999999999999-req",
    "/requests?after=1-req&sort=none",
    "/spend/users?page=0",
    "/spend/users?page=-1&sort=none",
    "/spend/users?page=99999999999",
    "/?user=%FF&account=%ED%A0%80",
    "/?resource=%25",
    "/?category=100%25_%5C",
    "/?instance=7",
    "/suggest/user?user=%25",
    "/use-cases/support-chat?after=1-2-3",
)


@pytest.mark.parametrize("path", ODD)
def test_odd_parameters_are_no_fault_of_the_service(shared: Site, path: str) -> None:
    with shared.signed_in() as client:
        assert client.get(path).status_code == 200


@pytest.mark.parametrize(
    "path",
    ["/requests/none", "/limits/none", "/use-cases/none", "/use-cases/support-chat/none", "/spend/none", "/panel/none"],
)
def test_what_is_not_there_is_a_page_that_says_so(shared: Site, path: str) -> None:
    with shared.signed_in() as client:
        answer = client.get(path)
        assert answer.status_code == 404
        assert "There is no such" in answer.text
