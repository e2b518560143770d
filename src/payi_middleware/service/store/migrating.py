"""Bringing a database up to date, when it is opened."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, create_mock_engine, inspect, text
from sqlalchemy.engine.mock import MockConnection

from payi_middleware.service.errors import LedgerError

from .schema import metadata

HEAD = "0007"
"""The newest revision in `migrations/versions`."""
REVISIONS = ("0001", "0002", "0003", "0004", "0005", "0006", "0007")

VERSION_TABLE = "payi_migrations"
_BEFORE = "payi_schema"
"""A table that tells of revision 0001, which was made before there were migrations."""
_DIALECTS = {"sqlite": "sqlite://", "postgresql": "postgresql+psycopg://"}
_LOCK = 0x70617969


def migrate(connection: Connection, name: str) -> None:
    """Make the tables, or change them into what this version needs, within one transaction.

    Raises:
        LedgerError: a newer version of this package made them.
    """
    if connection.dialect.name == "postgresql":
        connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": _LOCK})
    revision = _revision(connection)
    if revision == HEAD:
        return
    if revision is None:
        for statement in _making(connection.dialect.name):
            connection.exec_driver_sql(statement)
        _write_revision(connection, HEAD)
    elif revision in REVISIONS:
        _upgrade(connection, revision)
    else:
        problem = f"was made by a newer version (revision {revision}, this version knows {HEAD})"
        raise LedgerError(name, problem, "Upgrade payi-middleware, or name another database.")


@cache
def _making(dialect: str) -> list[str]:
    """Return the statements that make all tables: writing them takes longer than running them."""
    written: list[str] = []

    def write(made: Any, *_: object, **__: object) -> None:
        written.append(str(made.compile(dialect=engine.dialect)))

    engine: MockConnection = create_mock_engine(_DIALECTS[dialect], write)
    metadata.create_all(engine, checkfirst=False)
    return written


def _revision(connection: Connection) -> str | None:
    tables = inspect(connection)
    if tables.has_table(VERSION_TABLE):
        return str(connection.scalar(text(f"SELECT version_num FROM {VERSION_TABLE}")))
    return "0001" if tables.has_table(_BEFORE) else None


def _write_revision(connection: Connection, revision: str) -> None:
    connection.execute(text(f"CREATE TABLE IF NOT EXISTS {VERSION_TABLE} (version_num VARCHAR(32) NOT NULL)"))
    connection.execute(text(f"INSERT INTO {VERSION_TABLE} (version_num) VALUES (:revision)"), {"revision": revision})


def _upgrade(connection: Connection, revision: str) -> None:
    from alembic import command  # 150 ms, and needed once in a database's life
    from alembic.config import Config

    if not inspect(connection).has_table(VERSION_TABLE):
        _write_revision(connection, revision)
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations"))
    config.attributes["connection"] = connection
    command.upgrade(config, "head")
