"""Writing rows the way both databases can: many at a time, and only those that are new."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, TypeVar

from sqlalchemy import Connection, Dialect, Table, insert
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


def insert_all(connection: Connection, table: Table, rows: Sequence[Mapping[str, Any]]) -> None:
    """Insert many rows of the same columns.

    What SQLAlchemy does for each of them takes longer than the database does; here it is done once for all that follow.
    """
    insertion = _insertion(connection.dialect, table, tuple(rows[0]))
    connection.exec_driver_sql(insertion.statement, insertion.parameters(rows))


class _Insertion:
    """The statement that inserts rows of these columns, and how the driver wants their values."""

    def __init__(self, dialect: Dialect, table: Table, columns: Sequence[str]) -> None:
        compiled = insert(table).compile(dialect=dialect, column_keys=list(columns))
        processors = {name: table.c[name].type.dialect_impl(dialect).bind_processor(dialect) for name in columns}
        self.statement = str(compiled)
        self._in_order = dialect.positional
        self._order = getattr(compiled, "positiontup", None) or columns
        self._processed = [(name, process) for name, process in processors.items() if process is not None]

    def parameters(self, rows: Sequence[Mapping[str, Any]]) -> Any:
        """Return what is given to the driver beside the statement."""
        written = [dict(row) for row in rows]
        for name, process in self._processed:
            for row in written:
                row[name] = process(row[name])
        return [tuple(row[name] for name in self._order) for row in written] if self._in_order else written


_insertions: dict[tuple[str, str, tuple[str, ...]], _Insertion] = {}


def _insertion(dialect: Dialect, table: Table, columns: tuple[str, ...]) -> _Insertion:
    key = dialect.name, table.name, columns
    if key not in _insertions:
        _insertions[key] = _Insertion(dialect, table, columns)
    return _insertions[key]


def portions(values: Sequence[_T], each: int = 1) -> Iterator[Sequence[_T]]:
    """Cut into portions what is looked up by its values, as a statement takes so many only.

    Args:
        each: the parameters that a value takes.
    """
    size = _AT_ONCE // each
    for start in range(0, len(values), size):
        yield values[start : start + size]
