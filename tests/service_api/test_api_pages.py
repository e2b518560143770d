"""Pages of lists, without a server: what a database finds, and what is in memory."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection, insert, select

from payi_middleware.service.accounts.limits import NewLimit, as_row
from payi_middleware.service.accounts.pages import MOST, Asked, Page, Position, page, page_among
from payi_middleware.service.api.paging import PageQuery, answer_page, asked
from payi_middleware.service.api.reading import read_query_as
from payi_middleware.service.errors import ServiceError
from payi_middleware.service.ledger import Ledger
from payi_middleware.service.store.schema import limits
from tests.service.databases import postgresql_url

Fetch = Callable[[Asked], Page[Any]]
MADE = [(5, "b"), (5, "a"), (1, "z"), (9, "ä"), (9, "_"), (9, "B")]
"""When each was made, and its id: some at the same time."""


def _insert(connection: Connection, _application_id: int, row: dict[str, Any]) -> None:
    connection.execute(insert(limits), row)


def _in_database(ledger: Ledger) -> Fetch:
    for made, limit_id in MADE:
        row = as_row(ledger.application_id, NewLimit(limit_id, limit_id, "allow", Decimal(1), None))
        row["limit_creation_timestamp"] = made
        ledger.write(_insert, row)
    columns = limits.c

    def fetch(what: Asked) -> Page[Any]:
        query = select(limits).where(columns.application_id == ledger.application_id)
        found = ledger.read(
            lambda connection, _: page(connection, query, columns.limit_creation_timestamp, columns.limit_id, what)
        )
        return Page([(row["limit_creation_timestamp"], row["limit_id"]) for row in found.items], found.last)

    return fetch


def _walk(fetch: Fetch, limit: int, *, ascending: bool) -> list[Any]:
    found: list[Any] = []
    last: Position | None = None
    while True:
        got = fetch(Asked(last, limit, ascending))
        assert len(got.items) <= limit
        found += got.items
        if (last := got.last) is None:
            return found


@pytest.fixture(params=["memory", "sqlite", "postgresql"])
def fetch(request: pytest.FixtureRequest, tmp_path: Path) -> Any:
    if request.param == "memory":
        yield lambda what: page_among(MADE, lambda item: Position(*item), what)
    elif request.param == "sqlite":
        with Ledger(tmp_path / "payi.db") as ledger:
            yield _in_database(ledger)
    else:
        with postgresql_url() as url, Ledger(url) as ledger:
            yield _in_database(ledger)


@pytest.mark.parametrize("limit", [1, 2, 3, 6, 100])
def test_pages_of_any_size_show_each_item_once_in_the_order_of_their_making(fetch: Fetch, limit: int) -> None:
    oldest_first = _walk(fetch, limit, ascending=True)
    assert sorted(oldest_first) == sorted(MADE)
    assert [made for made, _ in oldest_first] == sorted(made for made, _ in MADE)
    assert _walk(fetch, limit, ascending=False) == oldest_first[::-1]


def test_the_last_page_leads_nowhere(fetch: Fetch) -> None:
    assert fetch(Asked(None, len(MADE), True)).last is None
    assert fetch(Asked(Position(99, "z"), 5, True)) == Page([], None)
    assert fetch(Asked(Position(0, ""), 5, False)) == Page([], None)


def test_a_cursor_reads_back_as_the_position_that_it_was_made_of() -> None:
    position = Position(1_700_000_000_000_000, 'ä/+ "\U0001f600')
    body = json.loads(bytes(answer_page(Page([1], position), "limits").body))
    query = read_query_as(PageQuery, {"cursor": body["cursor"]})
    assert asked(query, "limits") == Asked(position, 25, False)


def _cursor(told: object) -> str:
    return base64.urlsafe_b64encode(json.dumps(told).encode()).decode().rstrip("=")


@pytest.mark.parametrize(
    "cursor",
    [
        "garbage",
        "ä",
        "[]",
        "!!!!",
        "e30",
        _cursor(None),
        _cursor([]),
        _cursor(["limits", 1]),
        _cursor(["other", 1, "a"]),
        _cursor(["limits", "1", "a"]),
        _cursor(["limits", True, "a"]),
        _cursor(["limits", -1, "a"]),
        _cursor(["limits", 10**30, "a"]),
        _cursor(["limits", 1.5, "a"]),
        _cursor(["limits", 1, None]),
        _cursor(["limits", 1, "\0"]),
        _cursor(["limits", 1, "\ud800"]),
        _cursor(["limits", 1, "a", "b"]),
        "A" * 3,
        "W" * 100_000,
    ],
    ids=lambda cursor: cursor[:24].encode("ascii", "backslashreplace").decode(),
)
def test_a_garbage_cursor_is_a_bad_request(cursor: str) -> None:
    with pytest.raises(ServiceError) as refused:
        asked(read_query_as(PageQuery, {"cursor": cursor}), "limits")
    assert (refused.value.status, refused.value.code) == (400, "request_processing_error")


@pytest.mark.parametrize(("given", "limit"), [(None, 25), ("1", 1), ("1000", MOST), ("1001", MOST), ("9" * 30, MOST)])
def test_a_page_has_25_items_if_nothing_is_said_and_1000_at_most(given: str | None, limit: int) -> None:
    query = read_query_as(PageQuery, {} if given is None else {"limit": given})
    assert asked(query, "limits").limit == limit


@pytest.mark.parametrize(("given", "ascending"), [("true", True), ("false", False), ("True", True), ("", False)])
def test_the_newest_come_first_if_nothing_else_is_asked_for(given: str, ascending: bool) -> None:
    assert asked(read_query_as(PageQuery, {"sort_ascending": given}), "limits").ascending is ascending


@pytest.mark.parametrize(
    ("name", "value"), [("limit", "0"), ("limit", "-1"), ("limit", "ten"), ("sort_ascending", "x")]
)
def test_what_is_no_size_or_order_is_a_bad_request(name: str, value: str) -> None:
    with pytest.raises(ServiceError) as refused:
        read_query_as(PageQuery, {name: value})
    assert refused.value.status == 400
    assert refused.value.message.startswith(f"{name}: ")
