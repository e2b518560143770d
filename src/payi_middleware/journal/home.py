"""Where a process keeps its journal, and how it takes over the journals of processes that have ended.

`<journal>/<destination>/<process>.spool`, `.db` and `.N.record`: a destination is an address and a key, so that a
report never goes to somebody else's account; a process is a name made up at its start.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from uuid import uuid4

from payi_middleware.log import warn

from .backlog import Backlog, BacklogError, remove
from .locking import SUPPORTED, lock_left_behind
from .rows import Row
from .spool import Spool, is_foreign, read_records

__all__ = ["DESTINATION", "Home", "is_own"]

DESTINATION = "destination"
"""The file in a destination's directory that says for people where its reports go."""
_PRIVATE, _PRIVATE_FILE = 0o700, 0o600

_own: dict[int, set[str]] = {}
"""The names of this process's spools, by its id: opening one a second time would let go of its lock."""


class Home:
    """The journal of this process for one destination.

    Args:
        directory: the destination's; made if it is not there.
        destination: said to people who look.
        max_bytes: what the backlog may take.

    Raises:
        OSError: there is no room, or no right to write.
    """

    def __init__(self, directory: Path, destination: str, max_bytes: int) -> None:
        if not SUPPORTED:
            raise OSError("this operating system has no locks that end with their process")
        directory = directory.absolute()  # the app may change its working directory
        directory.parent.mkdir(mode=_PRIVATE, parents=True, exist_ok=True)  # `parents` alone would let all others look
        directory.mkdir(mode=_PRIVATE, exist_ok=True)
        self._directory = directory
        self._max_bytes = max_bytes
        self._pid = os.getpid()
        self._backlog: Backlog | None = None
        name = uuid4().hex
        self._database = directory / f"{name}.db"
        path = directory / f"{name}.spool"
        _own.setdefault(self._pid, set()).add(path.name)
        try:
            self._describe(destination)
            self.spool = Spool(path)
        except BaseException:
            _own[self._pid].discard(path.name)
            raise

    def _describe(self, destination: str) -> None:
        about = self._directory / DESTINATION
        with suppress(FileExistsError), open(about, "x", opener=_private, encoding="utf-8") as file:
            file.write(destination + "\n")

    @property
    def backlog(self) -> Backlog:
        """What could not be delivered yet; the file is made when it is asked for first.

        Raises:
            BacklogError: it cannot be made.
        """
        if self._backlog is None:
            self._backlog = Backlog(self._database, self._max_bytes)
            if self._backlog.salvaged:
                warn("damaged", "The journal %s was damaged; what could be read of it was kept", self._database)
        return self._backlog

    @property
    def has_backlog(self) -> bool:
        """Whether there is such a file yet, as it may have been written by another process's command line."""
        return self._backlog is not None

    def give_up_backlog(self) -> None:
        """Let go of a file that fails, so that the next use opens it anew."""
        if self._backlog is not None:
            self._backlog.close()
            self._backlog = None

    def adopt(self, read: Callable[[bytes], Row | None]) -> int:
        """Take over what ended processes have left behind.

        Args:
            read: makes a report of a record; None if it was no inference. What it raises counts as unreadable.

        Returns:
            How many reports were taken over.

        Raises:
            BacklogError: they cannot be stored; they stay where they are.
        """
        taken = 0
        if self._backlog is None and self._database.exists():
            self.backlog.counts()  # it failed some time ago, and may work again
        for path in sorted(self._directory.glob("*.spool")):
            if is_own(path):
                continue
            try:
                taken += self._adopt(path, read)
            except OSError:  # it was taken by another process meanwhile, or is not ours to read
                continue
            except BacklogError as error:
                self.backlog.counts()  # if it is our own that fails, it does so for the others, too
                warn("adoption", "What an ended process has left cannot be taken over at present: %s", error)
        return taken

    def _adopt(self, path: Path, read: Callable[[bytes], Row | None]) -> int:
        lock = lock_left_behind(path)
        if lock is None:
            return 0
        try:
            if is_foreign(path):  # another version's, which will take it over when it is installed again
                return 0
            taken = self._take_over(path.with_suffix(".db"))
            rows, unreadable = _read(read_records(path), read)
            for number, record in enumerate(unreadable):
                with open(path.with_suffix(f".{number}.unreadable"), "wb", opener=_private) as file:
                    file.write(record)
            if rows:
                self.backlog.append(rows)
            for aside in path.parent.glob(f"{path.stem}.*.record"):
                aside.unlink(missing_ok=True)
            path.unlink(missing_ok=True)
        finally:
            lock.release()
        return taken + len(rows)

    def _take_over(self, database: Path) -> int:
        if not database.exists():
            remove(database)  # somebody was killed between this file and those beside it
            return 0
        own = self.backlog
        taken, damaged = own.take_over(database)
        if damaged:
            aside = database.with_suffix(".damaged")
            database.rename(aside)
            warn("damaged", "The journal %s is damaged; what could be read of it was taken over", aside)
        remove(database)
        return taken

    def close(self, *, keep: bool = False) -> None:
        """Let go of the files, and delete those with nothing in them.

        Args:
            keep: the spool holds records that were not delivered.
        """
        if self._pid != os.getpid():
            return
        if self._backlog is not None:
            self._backlog.close()
            self._backlog = None
        self.spool.close(keep=keep or self._database.exists())  # which might have been given up, and is found by it
        _own[self._pid].discard(self.spool.path.name)


def _private(path: str, flags: int) -> int:
    return os.open(path, flags, _PRIVATE_FILE)


def _read(records: Iterator[bytes], read: Callable[[bytes], Row | None]) -> tuple[list[Row], list[bytes]]:
    rows: list[Row] = []
    unreadable: list[bytes] = []
    for record in records:
        try:
            row = read(record)
        except Exception as error:  # noqa: BLE001 - one record of another version must not keep the others
            unreadable.append(record)
            warn("unreadable", "A record of the journal cannot be read (%s); it was set aside", type(error).__name__)
            continue
        if row is not None:
            rows.append(row)
    return rows, unreadable


def is_own(spool: Path) -> bool:
    """Return whether this process holds the lock on a spool, which it would lose by opening the file once more."""
    return spool.name in _own.get(os.getpid(), ())
