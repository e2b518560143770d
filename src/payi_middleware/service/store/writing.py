"""Writing rows the way both databases can: many at a time, and only those that are new."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from itertools import chain
from operator import itemgetter
from typing import Any, TypeVar

from sqlalchemy import Connection, Dialect, Table, Update, insert
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.dialects.postgresql import Insert as PostgresqlInsert
from sqlalchemy.dialects.sqlite import Insert as SqliteInsert

from . import copying, piping
from .encoding import binder

_T = TypeVar("_T")
_AT_ONCE = 10_000
"""Parameters of one statement: SQLite takes 32,766, PostgreSQL 65,535."""

_PARAMETERS = 2_048 if sqlite3.sqlite_version_info >= (3, 32) else 999
"""Of one statement that inserts rows into SQLite, whose number is a power of two, so that few are prepared. Versions
before 3.32 take no more than that: https://www.sqlite.org/limits.html#max_variable_number"""

Upsert = PostgresqlInsert | SqliteInsert


def upsert(dialect: str, table: Table) -> Upsert:
    """Begin an INSERT that may say what is done about rows that exist; `dialect` is its name."""
    return postgresql.insert(table) if dialect == "postgresql" else sqlite.insert(table)


def insert_new(connection: Connection, table: Table, rows: Sequence[Mapping[str, Any]]) -> None:
    """Insert the rows whose primary key is not there yet.

    Rows come sorted by their key: two transactions that insert the same ones would wait for each other otherwise.
    """
    for statement, parameters in _insertion(connection.dialect, table, rows, new=True).statements(rows):
        connection.exec_driver_sql(statement, parameters)


def insert_all(connection: Connection, table: Table, rows: Sequence[Mapping[str, Any]]) -> None:
    """Insert many rows of the same columns.

    What SQLAlchemy does for each of them takes longer than the database does; here it is done once for all that follow.
    """
    insertion = _insertion(connection.dialect, table, rows, new=False)
    if copying.pays(connection, len(rows)):
        copying.copy(connection, table.name, insertion.columns, insertion.values(rows))
    else:
        for statement, parameters in insertion.statements(rows):
            connection.exec_driver_sql(statement, parameters)


class Writes:
    """What a transaction writes and reads nothing of: collected, and sent together where the database can do that.

    Args:
        connection: the transaction.
    """

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._statements: list[tuple[str, Sequence[Any]]] = []

    def insert(self, table: Table, rows: Sequence[Mapping[str, Any]]) -> None:
        """Insert rows of the same columns; see `insert_all`."""
        if rows and copying.pays(self._connection, len(rows)):
            self.send()  # in their order
            insert_all(self._connection, table, rows)
        elif rows:
            self._statements += _insertion(self._connection.dialect, table, rows, new=False).statements(rows)

    def insert_new(self, table: Table, rows: Sequence[Mapping[str, Any]]) -> None:
        """Insert the rows whose primary key is not there yet; see `insert_new`."""
        if rows:
            self._statements += _insertion(self._connection.dialect, table, rows, new=True).statements(rows)

    def update(self, update: Update, rows: Sequence[Mapping[str, Any]]) -> None:
        """Execute an update with parameters, all of them integers or texts, for each row."""
        if rows:
            updating = _updating(self._connection.dialect, update)
            self._statements.append((updating.statement, updating.parameters(rows)))

    def send(self) -> None:
        """Have the database do it."""
        statements, self._statements = self._statements, []
        if statements and self._connection.dialect.name == "postgresql":
            piping.send(self._connection, statements)
            return
        for statement, parameters in statements:
            self._connection.exec_driver_sql(statement, parameters)


class _Updating:
    """An update, and how the driver wants its parameters."""

    def __init__(self, dialect: Dialect, update: Update) -> None:
        compiled = update.compile(dialect=dialect)
        self.statement = str(compiled)
        self._places = getattr(compiled, "positiontup", None) if dialect.positional else None

    def parameters(self, rows: Sequence[Mapping[str, Any]]) -> Sequence[Any]:
        """Return what is given to the driver beside the statement."""
        if self._places is None:
            return rows
        return [tuple([row[name] for name in self._places]) for row in rows]


class _Insertion:
    """The statement that inserts rows of these columns, and how the driver wants their values.

    Args:
        new: only those rows whose primary key is not there yet.
    """

    def __init__(self, dialect: Dialect, table: Table, columns: tuple[str, ...], *, new: bool) -> None:
        inserting = upsert(dialect.name, table).on_conflict_do_nothing() if new else insert(table)
        compiled = inserting.compile(dialect=dialect, column_keys=list(columns))
        self._statement = str(compiled)
        self._of_many: dict[int, str] = {}
        self._most = 1 << (_PARAMETERS // len(columns)).bit_length() - 1
        self.columns = columns
        self._in_order = dialect.positional
        if self._in_order and (order := getattr(compiled, "positiontup", None)):
            self.columns = tuple(order)
        self._row = itemgetter(*self.columns)
        binders = [binder(table.c[name].type, dialect) for name in self.columns]
        self._bound = [(place, bind) for place, bind in enumerate(binders) if bind is not None]

    def values(self, rows: Sequence[Mapping[str, Any]]) -> Sequence[Sequence[Any]]:
        """Return each row's values, in the order of the statement's columns."""
        columns: list[Sequence[Any]] = [*zip(*map(self._row, rows), strict=True)]
        for place, bind in self._bound:
            columns[place] = [None if value is None else bind(value) for value in columns[place]]
        return [*zip(*columns, strict=True)]

    def statements(self, rows: Sequence[Mapping[str, Any]]) -> list[tuple[str, Any]]:
        """Return the statements that insert these rows, each with what is given to the driver beside it."""
        if not self._in_order:
            return [(self._statement, [dict(zip(self.columns, values, strict=True)) for values in self.values(rows)])]
        values = self.values(rows)
        statements: list[tuple[str, Any]] = []
        done = 0
        while done < len(values):
            count = min(self._most, 1 << (len(values) - done).bit_length() - 1)
            parameters = tuple(chain.from_iterable(values[done : done + count]))
            statements.append((self._of(count), parameters))
            done += count
        return statements

    def _of(self, count: int) -> str:
        """Return the statement that inserts so many rows.

        SQLite's driver lets go of the interpreter for each row that goes by a statement of its own. A busy event loop
        takes it each time, and has lost each time what it had at hand in the core's caches.
        """
        if count not in self._of_many:
            row = f"({', '.join('?' * len(self.columns))})"
            self._of_many[count] = self._statement.replace(row, ", ".join([row] * count))
        return self._of_many[count]


_updates: dict[tuple[str, int], _Updating] = {}


def _updating(dialect: Dialect, update: Update) -> _Updating:
    key = dialect.name, id(update)  # those that there are live as long as their modules
    if key not in _updates:
        _updates[key] = _Updating(dialect, update)
    return _updates[key]


def _told(rows: Sequence[Mapping[str, Any]]) -> tuple[str, ...]:
    """Name the columns that any of the rows has a value of: most rows leave half of theirs without.

    SQLite's driver looks for an adapter of each value that is no `int`, `float`, `str` or `bytearray`, of None, too,
    which takes five times as long as handing it over: https://docs.python.org/3/library/sqlite3.html#sqlite3-adapters
    """
    names = tuple(rows[0])
    columns = zip(*map(itemgetter(*names), rows), strict=True)
    return tuple([name for name, column in zip(names, columns, strict=True) if column.count(None) < len(rows)])


_MOST_INSERTIONS = 256
_insertions: dict[tuple[str, str, tuple[str, ...], bool], _Insertion] = {}


def _insertion(dialect: Dialect, table: Table, rows: Sequence[Mapping[str, Any]], *, new: bool) -> _Insertion:
    columns = _told(rows) if dialect.name == "sqlite" else tuple(rows[0])
    key = dialect.name, table.name, columns, new
    if key not in _insertions:
        if len(_insertions) >= _MOST_INSERTIONS:
            _insertions.clear()
        _insertions[key] = _Insertion(dialect, table, columns, new=new)
    return _insertions[key]


def padded(values: Sequence[_T]) -> list[_T]:
    """Return what is looked up, the last one several times: a statement is prepared once for each number of them."""
    missing = (1 << (len(values) - 1).bit_length()) - len(values)
    return [*values, *[values[-1]] * missing] if missing > 0 else [*values]


def portions(values: Sequence[_T], each: int = 1) -> Iterator[Sequence[_T]]:
    """Cut into portions what is looked up by its values, as a statement takes so many only.

    Args:
        each: the parameters that a value takes.
    """
    size = _AT_ONCE // each
    for start in range(0, len(values), size):
        yield values[start : start + size]
