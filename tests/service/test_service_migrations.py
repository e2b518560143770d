"""Databases of earlier versions are brought up to date when they are opened, and nothing in them is lost."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, inspect, text

from payi_middleware.service.accounts import rollups
from payi_middleware.service.errors import LedgerError
from payi_middleware.service.ledger import Ledger
from payi_middleware.service.store import migrating
from payi_middleware.service.store.engine import Store
from payi_middleware.service.store.schema import metadata

MIGRATIONS = Path(migrating.__file__).parent / "migrations"
REQUEST: dict[str, Any] = {
    "id": 1,
    "request_id": "req_1",
    "category": "system.openai",
    "resource": "gpt-4o-mini",
    "resource_id": "r-1",
    "provider_response_id": "resp_1",
    "event_timestamp": "2026-11-20T12:00:00.000001Z",
    "ingest_timestamp": "2026-11-20T12:00:01.000000Z",
    "http_status_code": 200,
    "failed": 0,
    "end_to_end_latency_ms": 120,
    "user_id": "alice",
    "account_name": "acme",
    "use_case_name": "chat",
    "use_case_id": "7",
    "request_tags": '["a"]',
    "properties": '{"k": "v"}',
    "units": '{"text": {"input": 10, "output": 5}}',
    "input_tokens": 10,
    "output_tokens": 5,
    "input_cost_micros": 1,
    "input_cost_rest": 500_000_000,
    "output_cost_micros": 3,
    "output_cost_rest": 0,
    "overrun_micros": 0,
    "overrun_rest": 0,
}
LIMIT: dict[str, Any] = {
    "id": 1,
    "limit_id": "monthly",
    "limit_name": "Monthly",
    "limit_type": "allow",
    "max": "10",
    "threshold": "0.8",
    "limit_creation_timestamp": "2026-11-01T00:00:00.000000Z",
    "limit_update_timestamp": "2026-11-02T00:00:00.000000Z",
    "input_cost_micros": 1,
    "input_cost_rest": 500_000_000,
    "output_cost_micros": 3,
    "output_cost_rest": 0,
    "ok": 1,
    **dict.fromkeys(("blocked", "blocked_external", "exceeded", "overrun", "failed"), 0),
}
INSTANCE = {
    "id": 1,
    "use_case_name": "chat",
    "use_case_id": "7",
    "properties": '{"a": "1"}',
    "created_timestamp": "2026-11-20T12:00:01.000000Z",
}


def at_revision(
    monkeypatch: pytest.MonkeyPatch, database: str, revision: str, fill: Callable[[Connection], None]
) -> None:
    """Make a database as the version with this revision had it."""

    def upgrade(connection: Connection, _name: str) -> None:
        config = Config()
        config.set_main_option("script_location", str(MIGRATIONS))
        config.attributes["connection"] = connection
        command.upgrade(config, revision)
        fill(connection)

    with monkeypatch.context() as patched:
        patched.setattr("payi_middleware.service.store.engine.migrate", upgrade)
        Store(database).close()


def add(connection: Connection, table: str, row: dict[str, Any]) -> None:
    names = list(row)
    if connection.dialect.name == "postgresql":
        row = {**row, **({"failed": bool(row["failed"])} if table == "payi_requests" else {})}
    connection.execute(
        text(f"INSERT INTO {table} ({', '.join(names)}) VALUES ({', '.join(f':{n}' for n in names)})"), row
    )


def first_version(connection: Connection) -> None:
    """Fill the tables as the first version did, which noted its version in a table of its own."""
    add(connection, "payi_requests", REQUEST)
    for number in range(2, 1203):
        own = {"id": number, "request_id": f"req_{number}", "provider_response_id": None, "use_case_name": None}
        add(connection, "payi_requests", {**REQUEST, **own, "use_case_id": None, "user_id": f"user{number % 7}"})
    add(connection, "payi_limits", LIMIT)
    charged = {"request_id": "req_1", "position": 0, "limit_id": "monthly", "state": "ok"}
    add(connection, "payi_request_limits", charged)
    add(connection, "payi_use_case_instances", INSTANCE)
    connection.execute(text("INSERT INTO payi_schema (version) VALUES (1)"))
    connection.execute(text("DROP TABLE payi_migrations"))


def test_what_the_first_version_booked_is_the_default_applications(
    database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    at_revision(monkeypatch, database, "0001", first_version)
    with Ledger(database) as ledger:
        assert len(ledger.requests(limit=2000)) == 1202
        (record,) = ledger.requests(user_id="alice")
        assert (record.request_id, record.cost, record.limits) == ("req_1", Decimal("0.0000045"), {"monthly": "ok"})
        assert (record.event_timestamp.microsecond, record.properties, record.units) == (
            1, {"k": "v"}, {"text": {"input": 10, "output": 5}},
        )  # fmt: skip
        limit = ledger.limit("monthly")
        assert (limit["max"], limit["threshold"], limit["totals"]["requests"]["ok"]) == (10, Decimal("0.8"), 1)
        assert limit["limit_creation_timestamp"] == "2026-11-01T00:00:00.000000Z"
        again = ledger.ingest({"category": "system.openai", "units": {}, "provider_response_id": "resp_1"})
        assert (again["request_id"], again["xproxy_result"]["duplicate_request"]) == ("req_1", True)
        after = ledger.ingest(
            {
                "category": "system.openai",
                "units": {},
                "use_case_name": "chat",
                "use_case_id": "7",
                "limit_ids": ["monthly"],
            }
        )
        assert after["xproxy_result"]["limits"] == {"monthly": {"state": "ok"}}
        while ledger.write(rollups.fold):
            pass
        assert {row.user_id: row.calls for row in ledger.usage_by_user()}["user3"] == 172
    with Ledger(database) as again_opened:
        assert len(again_opened.requests(limit=2000)) == 1203


def test_a_migration_that_fails_leaves_everything_as_it_was(database: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(connection: Connection) -> None:
        first_version(connection)
        statement = "UPDATE payi_requests SET event_timestamp = 'yesterday' WHERE request_id = 'req_1100'"
        connection.execute(text(statement))

    at_revision(monkeypatch, database, "0001", broken)
    with pytest.raises(ValueError, match="yesterday"):
        Ledger(database)
    with monkeypatch.context() as patched:
        patched.setattr("payi_middleware.service.store.engine.migrate", lambda connection, name: None)
        store = Store(database)
    requests = text("SELECT count(*) FROM payi_requests")
    assert store.read(lambda connection: connection.scalar(requests)) == 1202
    assert not store.read(lambda connection: inspect(connection).has_table("payi_applications"))
    store.close()


def test_migrations_make_the_tables_that_a_new_database_has(database: str, monkeypatch: pytest.MonkeyPatch) -> None:
    at_revision(monkeypatch, database, "head", lambda connection: None)
    with Ledger(database) as ledger, ledger._store._engine.connect() as connection:
        context = MigrationContext.configure(
            connection, opts={"include_name": lambda name, kind, _: kind != "table" or name in metadata.tables}
        )
        assert compare_metadata(context, metadata) == []


def test_the_newest_revision_is_the_one_that_databases_are_brought_to() -> None:
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    script = ScriptDirectory.from_config(config)
    assert script.get_current_head() == migrating.HEAD
    assert sorted(revision.revision for revision in script.walk_revisions()) == sorted(migrating.REVISIONS)


def test_a_database_of_a_newer_version_is_refused_and_left_alone(database: str) -> None:
    with Ledger(database) as ledger:
        ledger._store.write(lambda connection: connection.execute(text("UPDATE payi_migrations SET version_num = '9'")))
    with pytest.raises(LedgerError, match="newer version"):
        Ledger(database)
