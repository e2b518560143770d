"""The journals of other processes, living and ended, as people look at them through the command line."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, suppress
from itertools import islice
from pathlib import Path
from typing import NamedTuple, TypeVar

from .backlog import BacklogError, counted, is_made, reading, remove, translated
from .home import DESTINATION, is_own
from .locking import Lock, is_held, lock_left_behind
from .rows import COLUMNS, DEAD_COLUMNS, Counts, DeadLetter, Row, letter_of, row_of
from .spool import is_foreign, read_records

__all__ = [
    "Process",
    "dead_letters",
    "destinations",
    "pending_rows",
    "processes",
    "retry_dead_letters",
    "set_aside",
    "take_out",
]

_AT_ONCE = 500
"""Reports moved in one transaction, so that their process, if it lives, does not have to wait long."""
_BLOCK = 512
"""Bytes that `st_blocks` counts by."""
Stored = TypeVar("Stored")


class Process(NamedTuple):
    """The files of one process.

    Args:
        directory: its destination's.
        destination: where its reports go, for people.
        name: of the process, made up at its start.
    """

    directory: Path
    destination: str
    name: str

    @property
    def database(self) -> Path:
        """Its backlog, which need not exist."""
        return self.directory / f"{self.name}.db"

    @property
    def spool(self) -> Path:
        """Its spool."""
        return self.directory / f"{self.name}.spool"

    def is_alive(self) -> bool:
        """Return whether it lives.

        Raises:
            OSError: its spool cannot be opened.
        """
        if is_own(self.spool):
            return True
        try:
            return is_held(self.spool)
        except FileNotFoundError:
            return False

    def lock(self) -> Lock | None:
        """Keep others from taking it over; None if it lives, or is being taken over already.

        Raises:
            OSError: its spool cannot be opened.
        """
        return None if is_own(self.spool) else lock_left_behind(self.spool)

    def records(self) -> list[bytes]:
        """Return what is in its spool: calls whose reports are not safe elsewhere yet. This process's own are left out.

        Raises:
            OSError: it cannot be read.
        """
        if is_own(self.spool):
            return []
        try:
            return list(read_records(self.spool))
        except FileNotFoundError:
            return []

    def size(self) -> int:
        """Return the bytes of disk that it takes."""
        taken = 0
        for path in self.directory.glob(f"{self.name}.*"):
            with suppress(OSError):
                taken += path.stat().st_blocks * _BLOCK
        return taken

    def counts(self) -> Counts:
        """Count what is in its backlog.

        Raises:
            BacklogError: it cannot be read.
        """
        try:
            with translated(), closing(reading(self.database)) as connection:
                return counted(connection)
        except BacklogError:
            if self.database.exists():
                raise
            return Counts()

    def clear_away(self) -> None:
        """Delete the files if nothing is in them; the caller has locked them.

        Raises:
            BacklogError, OSError: it cannot be told.
        """
        counts = self.counts()
        if not (counts.pending or counts.dead or self.records() or is_foreign(self.spool)):
            remove(self.database)
            self.spool.unlink(missing_ok=True)


def destinations(journal: Path) -> Iterator[tuple[Path, str]]:
    """Yield each destination's directory and what it is for people.

    Raises:
        OSError: the journal cannot be read.
    """
    for directory in sorted(entry for entry in journal.iterdir() if entry.is_dir()):
        try:
            yield directory, (directory / DESTINATION).read_text(encoding="utf-8").strip()
        except FileNotFoundError:
            continue


def processes(journal: Path) -> Iterator[Process]:
    """Yield the processes that have files in a journal.

    Raises:
        OSError: the journal cannot be read.
    """
    for directory, destination in destinations(journal):
        files = (entry for entry in directory.iterdir() if entry.suffix in (".spool", ".db") and entry.stem[:1] != ".")
        for name in sorted({entry.stem for entry in files}):
            yield Process(directory, destination, name)


def set_aside(directory: Path) -> list[Path]:
    """Return the files of a destination that no process could read.

    Raises:
        OSError: the directory cannot be read.
    """
    return sorted(
        entry
        for entry in directory.iterdir()
        if entry.suffix in (".damaged", ".unreadable") or entry.suffix.startswith(".damaged-")
        if not entry.name.endswith(("-wal", "-shm"))
    )


def dead_letters(path: Path) -> Iterator[DeadLetter]:
    """Yield the dead letters in the file of any process, the oldest first; none if there is no such file.

    Raises:
        BacklogError: they cannot be read.
    """
    yield from _selected(path, f"SELECT {DEAD_COLUMNS}, id FROM dead ORDER BY id", letter_of)


def pending_rows(path: Path) -> Iterator[Row]:
    """Yield the reports that wait in the file of any process, the oldest first; none if there is no such file.

    Raises:
        BacklogError: they cannot be read.
    """
    yield from _selected(path, f"SELECT {COLUMNS}, id FROM pending ORDER BY id", row_of)


def _selected(path: Path, select: str, made_of: Callable[[Sequence[object]], Stored]) -> Iterator[Stored]:
    try:
        with translated(), closing(reading(path)) as connection:
            if is_made(connection):
                yield from map(made_of, connection.execute(select))
    except BacklogError:
        if path.exists():  # it was taken over otherwise
            raise


def retry_dead_letters(path: Path, ids: Sequence[int]) -> int:
    """Have the process whose file it is deliver dead letters once more.

    Returns:
        How many; fewer than asked for if some are not there any more.

    Raises:
        BacklogError: the file cannot be written; those before may have been put back.
    """
    moved = 0
    with translated(), closing(reading(path)) as connection:
        left = iter(ids)
        while some := [(id_,) for id_ in islice(left, _AT_ONCE)]:
            moved += _put_back(connection, some)
    return moved


def _put_back(connection: sqlite3.Connection, ids: Sequence[tuple[int]]) -> int:
    with connection:
        connection.execute("BEGIN IMMEDIATE")
        connection.executemany(
            f"INSERT INTO pending ({COLUMNS}) SELECT item, module, content, recorded, 0 FROM dead WHERE id = ?", ids
        )
        return connection.executemany("DELETE FROM dead WHERE id = ?", ids).rowcount


def take_out(path: Path, letters: Sequence[int], rows: Sequence[int]) -> None:
    """Delete dead letters and waiting reports that are safe elsewhere, all or none, from the file of an ended process.

    Raises:
        BacklogError: the file cannot be written.
    """
    with translated(), closing(reading(path)) as connection, connection:
        connection.executemany("DELETE FROM dead WHERE id = ?", ((id_,) for id_ in letters))
        connection.executemany("DELETE FROM pending WHERE id = ?", ((id_,) for id_ in rows))
