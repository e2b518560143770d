"""What can still be read of a damaged backlog."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from typing import TypeVar

from .rows import COLUMNS, DEAD_COLUMNS, DamagedError, DeadLetter, Row, letter_of, row_of

__all__ = ["is_damaged", "readable_letters", "readable_rows"]

_LAST_ID = 1 << 62
_PATIENCE = 100
"""Reports stepped over one by one: about as many as a page holds."""
_DAMAGES = frozenset({sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB})
_PRIMARY = 0xFF
"""What of an extended result code is the code that it extends (https://sqlite.org/rescode.html)."""

_T = TypeVar("_T")


def is_damaged(error: sqlite3.Error) -> bool:
    """Return whether an error tells that a file is no database of ours any more, and not that it is busy or full."""
    if isinstance(error, DamagedError):
        return True
    code = getattr(error, "sqlite_errorcode", None)  # none where Python finds the error: what is no UTF-8
    if code is None:
        return "decode" in str(error)
    return code & _PRIMARY in _DAMAGES or "no such" in str(error)


def readable_rows(connection: sqlite3.Connection) -> Iterator[Row]:
    """Yield the reports that can be read, the oldest first.

    Raises:
        sqlite3.Error: the file cannot be read at present, for another reason than its damage.
    """
    for row in _readable(connection, f"SELECT {COLUMNS}, id FROM pending WHERE id >= ? ORDER BY id", row_of):
        if _is_report(row):
            yield row


def readable_letters(connection: sqlite3.Connection) -> Iterator[DeadLetter]:
    """Yield the dead letters that can be read, the oldest first.

    Raises:
        sqlite3.Error: as above.
    """
    for letter in _readable(connection, f"SELECT {DEAD_COLUMNS}, id FROM dead WHERE id >= ? ORDER BY id", letter_of):
        if _is_report(letter.row):
            yield letter


def _readable(connection: sqlite3.Connection, select: str, made_of: Callable[[Sequence[object]], _T]) -> Iterator[_T]:
    """Step over what is damaged, in strides that grow until something can be read again.

    One by one while there is damage near, as Python reads a row ahead and loses it with the error that comes next.
    """
    start, failures = 1, 0
    while start < _LAST_ID:
        limit = 1 if failures else -1
        found = False
        try:
            for values in connection.execute(f"{select} LIMIT ?", (start, limit)):
                if values[-1] < start:
                    raise DamagedError("a page leads back to others")
                start, failures, found = values[-1] + 1, 0, True
                with suppress(DamagedError):
                    yield made_of(values)
        except sqlite3.DatabaseError as error:
            if not is_damaged(error):
                raise
            start += 1 << max(0, failures - _PATIENCE) if failures else 0
            failures += 1
        else:
            if limit < 0 or not found:
                return


def _is_report(row: Row) -> bool:
    """Return whether this is a report, and not one that damage has put together from pieces of several."""
    try:
        return isinstance(json.loads(row.item), dict)
    except ValueError:
        return False
