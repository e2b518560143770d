"""Reading in one go what a transaction has to know: a single wait for the database, where it can do that."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import Connection, Dialect, Select

from . import piping

__all__ = ["Reads", "Rows"]

Rows = list[Mapping[Any, Any]]
"""Rows, by the names of their columns."""


class Reads:
    """Questions to a database, collected and sent together.

    Args:
        connection: a transaction, or one that needs none.
    """

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._asked: list[tuple[Select[Any], Mapping[str, Any], Rows]] = []

    def ask(self, query: Select[Any], parameters: Mapping[str, Any]) -> Rows:
        """Ask for rows. The list that is returned is filled by `send`.

        Args:
            query: one that lives as long as its module, as it is compiled only once.
            parameters: integers, texts, bytes, and `padded` lists of them where the query has expanding ones.
        """
        rows: Rows = []
        self._asked.append((query, parameters, rows))
        return rows

    def send(self) -> None:
        """Have the database answer."""
        asked, self._asked = self._asked, []
        if not asked:
            return
        asking = [_asking(self._connection.dialect, query, given) for query, given, _ in asked]
        statements = [(one.statement, one.parameters(given)) for one, (_, given, _) in zip(asking, asked, strict=True)]
        answers: Sequence[Sequence[Sequence[Any]]]
        if self._connection.dialect.name == "postgresql":
            answers = piping.ask(self._connection, statements)
        else:
            answers = [self._connection.exec_driver_sql(*statement).all() for statement in statements]
        for one, (_, _, rows), answer in zip(asking, asked, answers, strict=True):
            rows.extend(one.rows(answer))


class _Asking:
    """A query whose lists have these lengths, and how the driver wants its parameters.

    What SQLAlchemy does for each execution takes longer than SQLite does; here it is done once for all that follow.
    """

    def __init__(self, dialect: Dialect, query: Select[Any], parameters: Mapping[str, Any]) -> None:
        compiled: Any = query.compile(dialect=dialect)
        expanded = compiled.construct_expanded_state(dict(parameters))
        self.statement: str = expanded.statement
        self._order: Sequence[str] | None = expanded.positiontup if dialect.positional else None
        columns = query.selected_columns
        self._names = [column.name for column in columns]
        self._read = [
            (column.name, read)
            for column in columns
            if (read := column.type.dialect_impl(dialect).result_processor(dialect, None)) is not None
        ]
        self._lists: dict[str, list[str]] = {
            name: expanded.parameter_expansion[name] for name, value in parameters.items() if isinstance(value, list)
        }

    def parameters(self, given: Mapping[str, Any]) -> Any:
        """Return what is given to the driver beside the statement."""
        named: dict[str, Any] = {}
        for name, value in given.items():
            if name in self._lists:
                named.update(zip(self._lists[name], value, strict=True))
            else:
                named[name] = value
        if self._order is None:
            return named
        values = [named[name] for name in self._order]
        return tuple([bytearray(value) if type(value) is bytes else value for value in values])  # see `encoding.binder`

    def rows(self, values: Sequence[Sequence[Any]]) -> Rows:
        """Name the values of rows, and read those that the driver leaves as they are stored."""
        rows: Rows = []
        for row in values:
            named = dict(zip(self._names, row, strict=True))
            for name, read in self._read:
                named[name] = read(named[name])
            rows.append(named)
        return rows


_asked: dict[tuple[str, Select[Any], tuple[int, ...]], _Asking] = {}


def _asking(dialect: Dialect, query: Select[Any], parameters: Mapping[str, Any]) -> _Asking:
    key = dialect.name, query, tuple([len(value) for value in parameters.values() if isinstance(value, list)])
    if key not in _asked:
        _asked[key] = _Asking(dialect, query, parameters)
    return _asked[key]
