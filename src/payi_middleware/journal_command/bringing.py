"""What ended processes have left, put where this command's own delivery takes it over."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from payi_middleware.destinations import destination_id, destination_of
from payi_middleware.journal import Home
from payi_middleware.journal.inspection import Process, dead_letters, pending_rows, retry_dead_letters, take_out
from payi_middleware.settings import Settings

__all__ = ["Own", "locked"]


@contextmanager
def locked(process: Process) -> Iterator[bool]:
    """Keep others from taking an ended process over; gives False if one does so already."""
    lock = process.lock() if process.spool.exists() else None
    try:
        yield lock is not None
    finally:
        if lock is not None:
            lock.release()


class Own:
    """The destination of the environment's settings.

    Args:
        settings: the environment's; their journal is a directory.
        any_key: takes what was sent to the same address with other settings, too.
        everything: takes what waits as well as the dead letters.
    """

    def __init__(self, settings: Settings, *, any_key: bool, everything: bool) -> None:
        assert isinstance(settings.journal, Path)
        self._directory = settings.journal / destination_id(settings)
        self._address = destination_of(settings)
        self._max_bytes = settings.journal_max_bytes
        self._any_key = any_key
        self._everything = everything
        self._home: Home | None = None

    def takes(self, process: Process) -> bool:
        """Return whether what an ended process has left is delivered with these settings."""
        return process.directory == self._directory or (self._any_key and process.destination == self._address)

    def has_work(self, process: Process, ids: Sequence[int]) -> bool:
        """Return whether there is anything to do for an ended process, of whose dead letters these are meant.

        Raises:
            BacklogError, OSError: it cannot be told.
        """
        if ids or not self._everything:
            return bool(ids)
        return bool(process.counts().pending or (process.directory == self._directory and process.records()))

    def put_back(self, process: Process, ids: Sequence[int]) -> None:
        """Have dead letters of an ended process wait for delivery; nobody else takes it over meanwhile.

        The records in a spool of other settings stay: a `redact` may not have seen them.

        Raises:
            BacklogError, OSError: the journal cannot be written.
        """
        if process.directory == self._directory:
            if ids:
                retry_dead_letters(process.database, ids)
            return
        wanted = set(ids)
        letters = [letter.row for letter in dead_letters(process.database) if letter.row.id in wanted]
        rows = list(pending_rows(process.database)) if self._everything else []
        if self._home is None:
            self._home = Home(self._directory, self._address, self._max_bytes)
        self._home.backlog.append(replace(row, attempts=0) for row in (*rows, *letters))
        take_out(process.database, [row.id for row in letters], [row.id for row in rows])
        process.clear_away()

    def close(self) -> None:
        """Leave what was brought to whoever delivers it."""
        if self._home is not None:
            self._home.close()
            self._home = None
