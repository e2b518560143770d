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
        if self._connection.dialect.name == "postgresql":
            asking = [(_asking(self._connection.dialect, query, given), given) for query, given, _ in asked]
            statements = [(one.statement, one.parameters(given)) for one, given in asking]
            told = piping.ask(self._connection, statements)
            answers = [one.rows(values) for (one, _), values in zip(asking, told, strict=True)]
        else:
            answers = [[*self._connection.execute(query, given).mappings()] for query, given, _ in asked]
        for (_, _, rows), answer in zip(asked, answers, strict=True):
            rows.extend(answer)


class _Asking:
    """A query whose lists have these lengths, and how the driver wants its parameters."""

    def __init__(self, dialect: Dialect, query: Select[Any], parameters: Mapping[str, Any]) -> None:
        compiled: Any = query.compile(dialect=dialect)
        expanded = compiled.construct_expanded_state(dict(parameters))
        self.statement: str = expanded.statement
        self._names = [column.name for column in query.selected_columns]
        self._lists: dict[str, list[str]] = {
            name: expanded.parameter_expansion[name] for name, value in parameters.items() if isinstance(value, list)
        }

    def parameters(self, given: Mapping[str, Any]) -> dict[str, Any]:
        """Return what is given to the driver beside the statement."""
        named: dict[str, Any] = {}
        for name, value in given.items():
            if name in self._lists:
                named.update(zip(self._lists[name], value, strict=True))
            else:
                named[name] = value
        return named

    def rows(self, values: Sequence[Sequence[Any]]) -> Rows:
        """Name the values of rows."""
        return [dict(zip(self._names, row, strict=True)) for row in values]


_asked: dict[tuple[Select[Any], tuple[int, ...]], _Asking] = {}


def _asking(dialect: Dialect, query: Select[Any], parameters: Mapping[str, Any]) -> _Asking:
    key = query, tuple([len(value) for value in parameters.values() if isinstance(value, list)])
    if key not in _asked:
        _asked[key] = _Asking(dialect, query, parameters)
    return _asked[key]
