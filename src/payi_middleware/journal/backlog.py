"""What could not be delivered yet, and what was refused for good: two tables of an SQLite file.

One process writes it, on its delivering thread; the command line may look at it and have refused reports tried again.
SQLite's write-ahead log: https://sqlite.org/wal.html
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from time import time

from payi_middleware.forks import uncut

from .reserve import RESERVE, Reserve
from .rows import COLUMNS, DEAD_COLUMNS, Counts, DamagedError, DeadLetter, Row, row_of
from .salvage import is_damaged, readable_letters, readable_rows

__all__ = ["Backlog", "BacklogError", "BacklogFullError", "counted", "reading", "remove", "translated"]

_PRIVATE = 0o600
_BESIDE = ("-wal", "-shm", RESERVE)
"""What is beside the file: two of SQLite's own, and the reserve."""
_BUSY = 1.0
"""Seconds that a writer waits for the command line's short transactions."""
_SCHEMA = """
CREATE TABLE IF NOT EXISTS pending (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    item BLOB NOT NULL, module TEXT, content INTEGER NOT NULL, recorded REAL NOT NULL, attempts INTEGER NOT NULL
);
CREATE TABLE IF NOT EXISTS dead (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    item BLOB NOT NULL, module TEXT, content INTEGER NOT NULL, recorded REAL NOT NULL, attempts INTEGER NOT NULL,
    refused REAL NOT NULL, status INTEGER NOT NULL, code TEXT NOT NULL, message TEXT NOT NULL
);
"""
_INSERT = f"INSERT INTO pending ({COLUMNS}) VALUES (?, ?, ?, ?, ?)"


class BacklogError(Exception):
    """The file cannot be used: it cannot be written, its disk is full, or it is no database any more."""


class BacklogFullError(BacklogError):
    """There is no room for more. What is in the file stays there, and can be taken out."""


class Backlog:
    """The file of this process. Used by one thread at a time.

    Args:
        path: made if it is not there. One that is damaged is set aside, and what can still be read of it is taken over.
        max_bytes: what the file may take; beyond it the oldest dead letters go first, then the oldest reports.

    Raises:
        BacklogError: it cannot be made or read.
    """

    def __init__(self, path: Path, max_bytes: int) -> None:
        self.path = path
        self.salvaged = False
        self._max_bytes = max_bytes
        self._owed: set[int] = set()
        self._owed_up_to = 0
        self._reserve = Reserve(path)
        with uncut:
            self._connection = self._opened()
            self._reserve.set_aside()

    def _opened(self) -> sqlite3.Connection:
        try:
            return _connected(self.path)
        except sqlite3.DatabaseError as error:
            if not is_damaged(error):
                raise BacklogError(_reason(error)) from error
        except OSError as error:
            raise BacklogError(_reason(error)) from error
        self.salvaged = True
        with translated():
            broken = self.path.with_name(f"{self.path.name}.damaged-{int(time())}")
            for suffix in ("-wal", "-shm"):
                with suppress(OSError):
                    self.path.with_name(self.path.name + suffix).rename(f"{broken}{suffix}")
            self.path.rename(broken)
            connection = _connected(self.path)
            try:
                _salvage(connection, broken)
            except BaseException:
                connection.close()
                raise
            return connection

    def append(self, rows: Iterable[Row], letters: Iterable[DeadLetter] = ()) -> int:
        """Store reports, all or none; they are on the disk when this returns.

        Returns:
            The id of the last report in the file.

        Raises:
            BacklogError: they could not be written.
        """
        with translated():
            return _insert(self._connection, rows, letters)

    def take_over(self, path: Path) -> tuple[int, bool]:
        """Move everything from the file of a process that has ended, all or nothing; the file itself stays.

        Returns:
            How many reports came, and whether the file is damaged, so that these are what could be read of it.

        Raises:
            BacklogError: this file cannot be written, or the other cannot be read, at present.
        """
        with translated():
            try:
                return _moved(self._connection, path), False
            except sqlite3.DatabaseError as error:
                if not is_damaged(error):
                    raise
            before = counted(self._connection).pending
            _salvage(self._connection, path)
            return counted(self._connection).pending - before, True

    def take(self, limit: int, after: int = 0, most_bytes: int = 1 << 20) -> list[Row]:
        """Read the oldest reports, one at least if there is one; they stay until they are acknowledged.

        Raises:
            BacklogError: they could not be read.
        """
        with translated():
            select = f"SELECT {COLUMNS}, id FROM pending WHERE id > ? ORDER BY id LIMIT ?"
            rows: list[Row] = []
            for values in self._connection.execute(select, (max(after, self._owed_up_to), limit + len(self._owed))):
                row = row_of(values)
                if row.id in self._owed:
                    continue
                most_bytes -= len(row.item)
                if rows and (most_bytes < 0 or len(rows) == limit):
                    break
                rows.append(row)
            return rows

    def acknowledge(self, ids: Iterable[int], letters: Iterable[DeadLetter] = (), again: Iterable[Row] = ()) -> int:
        """Take out what was delivered, bury what was refused, and put at the end what is tried in another form.

        Args:
            ids: the reports to take out, all of these.
            letters: the refused ones among them.
            again: what comes in the place of others among them.

        Returns:
            The id of the last report in the file.

        Raises:
            BacklogError: it could not be written.
        """
        gone, buried, put_again = [(id_,) for id_ in ids], list(letters), list(again)
        with translated():
            for make_room in (self._make_room, None):
                try:
                    return self._replace(gone, buried, put_again)
                except sqlite3.OperationalError as error:
                    if not _is_full(error):
                        raise
                    if make_room is not None:
                        make_room()
                    elif buried or put_again:
                        raise
            self._owe(gone)
            return _last_id(self._connection)

    def _replace(self, gone: list[tuple[int]], letters: list[DeadLetter], again: list[Row]) -> int:
        with self._connection as transaction:
            if self._owed or self._owed_up_to:
                transaction.execute("DELETE FROM pending WHERE id <= ?", (self._owed_up_to,))
                transaction.executemany("DELETE FROM pending WHERE id = ?", ((id_,) for id_ in self._owed))
            transaction.executemany("DELETE FROM pending WHERE id = ?", gone)
            transaction.executemany(_INSERT, (row.values for row in again))
            _bury(transaction, letters)
            last = _last_id(transaction)
        self._owed.clear()
        self._owed_up_to = 0
        return last

    def _owe(self, gone: Iterable[tuple[int]]) -> None:
        """Remember what was delivered and cannot be taken out yet, so that it is not read again."""
        self._owed.update(id_ for (id_,) in gone)
        first = "SELECT min(id) FROM pending WHERE id > ?"
        while (id_ := self._connection.execute(first, (self._owed_up_to,)).fetchone()[0]) in self._owed:
            self._owed.discard(id_)
            self._owed_up_to = id_

    def _make_room(self) -> None:
        """Use the reserve up, and the log beside the file, whose content goes into the file."""
        self._reserve.use_up()
        with suppress(sqlite3.Error):
            self._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()

    def counts(self) -> Counts:
        """Count what is there.

        Raises:
            BacklogError: it could not be read.
        """
        with translated():
            counts = counted(self._connection)
            if not (self._owed or self._owed_up_to):
                return counts
            up_to = "SELECT count(*) FROM pending WHERE id <= ?"
            (owed,) = self._connection.execute(up_to, (self._owed_up_to,)).fetchone()
            oldest = self.take(1)
            left = counts.pending - owed - len(self._owed)
            return counts._replace(pending=left, oldest=oldest[0].recorded if oldest else None)

    @property
    def last_id(self) -> int:
        """The id of the youngest report, or of one before it that is gone."""
        with translated():
            return _last_id(self._connection)

    def shrink(self, spared: int = 0) -> tuple[int, int]:
        """Keep the bound of the file's size.

        Args:
            spared: the id of the newest report that is being delivered: it and those before it stay.

        Returns:
            How many dead letters, and how many reports, had to go for that.

        Raises:
            BacklogError: it could not be written.
        """
        letters = reports = 0
        with translated():
            while (excess := _size(self._connection) - self._max_bytes) > 0:
                gone = _delete_oldest(self._connection, "dead", excess)
                letters += gone
                if not gone:
                    gone = _delete_oldest(self._connection, "pending", excess, spared)
                    reports += gone
                if not gone:
                    break
            self._reserve.set_aside()
        return letters, reports

    def close(self) -> bool:
        """Close the file, and delete it if nothing is in it.

        Returns:
            Whether something is left in it.
        """
        empty = False
        with suppress(BacklogError):
            counts = self.counts()
            empty = not counts.pending and not counts.dead
        with uncut, suppress(sqlite3.Error):
            self._connection.close()
        if empty:
            remove(self.path)
        else:
            self._reserve.use_up()
        return not empty


def remove(path: Path) -> None:
    """Delete a database and what SQLite keeps beside it."""
    for suffix in ("", *_BESIDE):
        with suppress(OSError):
            path.with_name(path.name + suffix).unlink()


def _is_full(error: BaseException) -> bool:
    return getattr(error, "sqlite_errorcode", None) == sqlite3.SQLITE_FULL


def _connected(path: Path) -> sqlite3.Connection:
    if not path.exists():
        os.close(os.open(path, os.O_CREAT | os.O_RDWR, _PRIVATE))
    connection = sqlite3.connect(_uri(path), uri=True, timeout=_BUSY, check_same_thread=False)
    try:
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("PRAGMA synchronous=FULL")  # NORMAL may lose more than the last second with the power
        connection.execute("PRAGMA journal_size_limit=1048576")
        connection.execute("PRAGMA wal_autocheckpoint=100")  # little of the log is ever left to be moved, see Reserve
        connection.executescript(_SCHEMA)
        _check(connection, "main")
    except BaseException:
        connection.close()
        raise
    return connection


def _check(connection: sqlite3.Connection, database: str) -> None:
    if connection.execute(f"PRAGMA {database}.quick_check(1)").fetchone()[0] != "ok":
        raise DamagedError("the check failed")


def _uri(path: Path) -> str:
    return f"{path.absolute().as_uri()}?mode=rw"


def reading(path: Path) -> sqlite3.Connection:
    """Open the file of any process, which is not made if it is gone."""
    return sqlite3.connect(_uri(path), uri=True, timeout=_BUSY)


def _insert(connection: sqlite3.Connection, rows: Iterable[Row], letters: Iterable[DeadLetter]) -> int:
    with connection:
        connection.executemany(_INSERT, (row.values for row in rows))
        _bury(connection, letters)
        # before the transaction ends: the command line may put something behind it at any moment
        return _last_id(connection)


def _last_id(connection: sqlite3.Connection) -> int:
    return int(connection.execute("SELECT max(id) FROM pending").fetchone()[0] or 0)


def _salvage(connection: sqlite3.Connection, path: Path) -> None:
    with closing(reading(path)) as damaged:
        damaged.execute("PRAGMA writable_schema = ON")  # without it, SQLite reads nothing of a file that was cut
        _insert(connection, readable_rows(damaged), readable_letters(damaged))


def _bury(connection: sqlite3.Connection, letters: Iterable[DeadLetter]) -> None:
    connection.executemany(
        f"INSERT INTO dead ({DEAD_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)", (letter.values for letter in letters)
    )


def is_made(connection: sqlite3.Connection, schema: str = "main") -> bool:
    """Return whether the tables are there; if not, its process was killed before it had stored anything."""
    found = connection.execute(f"SELECT count(*) FROM {schema}.sqlite_master WHERE name IN ('pending', 'dead')")
    return bool(found.fetchone()[0] == 2)


def counted(connection: sqlite3.Connection) -> Counts:
    """Count what is in an open file."""
    if not is_made(connection):
        return Counts()
    pending, oldest = connection.execute("SELECT count(*), min(recorded) FROM pending").fetchone()
    (dead,) = connection.execute("SELECT count(*) FROM dead").fetchone()
    return Counts(pending, dead, oldest)


def _size(connection: sqlite3.Connection) -> int:
    pages, free, size = (
        connection.execute(f"PRAGMA {name}").fetchone()[0] for name in ("page_count", "freelist_count", "page_size")
    )
    return int((pages - free) * size)


def _delete_oldest(connection: sqlite3.Connection, table: str, excess: int, spared: int = 0) -> int:
    """Delete as many as take up this many bytes, all behind an id, and return how many these were."""
    last = spared
    with closing(connection.execute(f"SELECT id, length(item) FROM {table} WHERE id > ? ORDER BY id", (last,))) as rows:
        while excess > 0 and (row := rows.fetchone()):
            last = row[0]
            excess -= row[1]
    with connection:
        return connection.execute(f"DELETE FROM {table} WHERE id > ? AND id <= ?", (spared, last)).rowcount


def _moved(connection: sqlite3.Connection, path: Path) -> int:
    connection.execute("ATTACH ? AS other", (_uri(path),))
    try:
        if not is_made(connection, "other"):
            return 0
        _check(connection, "other")
        with connection:
            moved = connection.execute(
                f"INSERT INTO pending ({COLUMNS}) SELECT {COLUMNS} FROM other.pending ORDER BY id"
            )
            connection.execute(f"INSERT INTO dead ({DEAD_COLUMNS}) SELECT {DEAD_COLUMNS} FROM other.dead ORDER BY id")
        return moved.rowcount
    finally:
        connection.execute("DETACH other")


def _reason(error: BaseException) -> str:
    return str(error.strerror) if isinstance(error, OSError) and error.strerror else str(error)


@contextmanager
def translated() -> Iterator[None]:
    """Have whatever is wrong with a file raised as a BacklogError, and no fork come in between."""
    try:
        with uncut:
            yield
    except (sqlite3.Error, OSError) as error:
        raise (BacklogFullError if _is_full(error) else BacklogError)(_reason(error)) from error
