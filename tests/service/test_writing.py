"""Rows go to SQLite many at a time, as its driver lets go of the interpreter for each statement."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import event

from payi_middleware.service.ledger import Ledger
from payi_middleware.service.store import writing

_ODD = "it's (a, b) VALUES (?, ?) é"


def _items(count: int) -> list[dict[str, Any]]:
    return [
        {
            "category": "system.openai",
            "resource": "gpt-4o-mini",
            "units": {"text": number},
            "provider_response_id": f"response-{number}",
            "properties": {"which": f"{number} {_ODD}"},
        }
        for number in range(count)
    ]


def _inserts(ledger: Ledger, count: int) -> list[str]:
    told: list[str] = []

    def note(_connection: Any, _cursor: Any, statement: str, _parameters: Any, _context: Any, many: bool) -> None:
        if statement.startswith("INSERT INTO payi_requests "):
            assert not many
            told.append(statement)

    engine = ledger._store._writer
    event.listen(engine, "before_cursor_execute", note)
    try:
        assert ledger.ingest_bulk(_items(count))["ingest_count"] == count
    finally:
        event.remove(engine, "before_cursor_execute", note)
    return told


@pytest.mark.parametrize(("count", "statements"), [(1, 1), (2, 1), (3, 2), (32, 1), (47, 5), (100, 3)])
def test_the_requests_of_a_transaction_are_inserted_by_few_statements_and_each_as_it_came(
    tmp_path: Path, count: int, statements: int
) -> None:
    with Ledger(tmp_path / "payi.db") as ledger:
        assert len(_inserts(ledger, count)) == statements
        stored = {row.provider_response_id: row for row in ledger.requests(limit=count + 1)}
    assert len(stored) == count
    for item in _items(count):
        row = stored[item["provider_response_id"]]
        assert row.input_tokens == item["units"]["text"]
        assert row.properties == item["properties"]


def test_what_only_some_requests_of_a_transaction_have_is_stored_of_those_and_of_no_others(tmp_path: Path) -> None:
    items = _items(5)
    items[3] |= {"user_id": "alice", "request_tags": ["a"], "end_to_end_latency_ms": 0}
    with Ledger(tmp_path / "payi.db") as ledger:
        ledger.ingest_bulk(items)
        stored = {row.provider_response_id: row for row in ledger.requests()}
    told = {name: (row.user_id, row.request_tags, row.end_to_end_latency_ms) for name, row in sorted(stored.items())}
    nothing: tuple[Any, ...] = (None, [], None)
    assert told == {
        "response-0": nothing,
        "response-1": nothing,
        "response-2": nothing,
        "response-3": ("alice", ["a"], 0),
        "response-4": nothing,
    }


def test_the_driver_is_given_nothing_that_it_would_look_for_an_adapter_of(tmp_path: Path) -> None:
    given: set[type] = set()

    def note(_connection: Any, _cursor: Any, _statement: str, parameters: Any, _context: Any, many: bool) -> None:
        assert not many
        given.update(map(type, parameters))

    with Ledger(tmp_path / "payi.db") as ledger:
        ledger.ingest_bulk(_items(3))
        engine = ledger._store._writer
        event.listen(engine, "before_cursor_execute", note)
        ledger.ingest_bulk(_items(7))  # some are repeats
        event.remove(engine, "before_cursor_execute", note)
    assert given == {int, str, bytearray}


def test_a_version_of_sqlite_that_takes_few_parameters_gets_no_more(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(writing, "_PARAMETERS", 999)
    monkeypatch.setattr(writing, "_insertions", {})
    with Ledger(tmp_path / "payi.db") as ledger:
        inserted = _inserts(ledger, 70)
    assert max(statement.count("?") for statement in inserted) <= 999
    with closing(sqlite3.connect(tmp_path / "payi.db")) as connection:
        assert connection.execute("SELECT count(*) FROM payi_requests").fetchone() == (70,)


def test_all_of_a_transaction_that_is_refused_half_way_is_undone(tmp_path: Path) -> None:
    with Ledger(tmp_path / "payi.db") as ledger:
        with closing(sqlite3.connect(tmp_path / "payi.db")) as connection:
            connection.execute(
                "CREATE TRIGGER refuse BEFORE INSERT ON payi_requests WHEN NEW.input_tokens = 33 "
                "BEGIN SELECT RAISE(ABORT, 'not this one'); END"
            )
        with pytest.raises(OSError, match="not this one"):
            ledger.ingest_bulk(_items(40))
        assert ledger.requests() == []
