"""PostgreSQL's COPY: many rows cost half of what they cost as statements, on either side of the connection."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from sqlalchemy import Connection

from .piping import translated

__all__ = ["copy", "pays"]

_FROM = 24
"""Rows from which on its round trips are worth it: fewer go with other statements, see `piping`."""


def pays(connection: Connection, rows: int) -> bool:
    """Return whether so many rows are better copied than inserted."""
    return connection.dialect.name == "postgresql" and rows >= _FROM


def copy(connection: Connection, table: str, columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
    """Write rows, all of which are new, within the transaction at hand.

    Args:
        connection: to PostgreSQL.
        table, columns: of ours, whose names need no quotes.
        rows: their values, as the driver takes them.
    """
    statement = f"COPY {table} ({', '.join(columns)}) FROM STDIN"
    with translated(connection) as driver, driver.cursor() as cursor, cursor.copy(statement) as copying:
        for row in rows:
            copying.write_row(row)
