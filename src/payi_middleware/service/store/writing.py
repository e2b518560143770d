"""Writing rows the way both databases can: many at a time, and only those that are new."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, TypeVar

from sqlalchemy import Connection, Table
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.dialects.postgresql import Insert as PostgresqlInsert
from sqlalchemy.dialects.sqlite import Insert as SqliteInsert

_T = TypeVar("_T")
_AT_ONCE = 10_000
"""Parameters of one statement: SQLite takes 32,766, PostgreSQL 65,535."""

Upsert = PostgresqlInsert | SqliteInsert


def upsert(dialect: str, table: Table) -> Upsert:
    """Begin an INSERT that may say what is done about rows that exist; `dialect` is its name."""
    return postgresql.insert(table) if dialect == "postgresql" else sqlite.insert(table)


def insert_new(connection: Connection, table: Table, rows: Sequence[Mapping[str, Any]]) -> None:
    """Insert the rows whose primary key is not there yet.

    Rows come sorted by their key: two transactions that insert the same ones would wait for each other otherwise.
    """
    connection.execute(upsert(connection.dialect.name, table).on_conflict_do_nothing(), rows)


def portions(values: Sequence[_T], each: int = 1) -> Iterator[Sequence[_T]]:
    """Cut into portions what is looked up by its values, as a statement takes so many only.

    Args:
        each: the parameters that a value takes.
    """
    size = _AT_ONCE // each
    for start in range(0, len(values), size):
        yield values[start : start + size]
