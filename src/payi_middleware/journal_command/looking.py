"""What there is in a journal, read without disturbing the processes that write it."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from payi_middleware.delivery import read_record
from payi_middleware.exceptions import PayiError
from payi_middleware.journal import BacklogError, Counts, DeadLetter
from payi_middleware.journal.inspection import Process, dead_letters, destinations, processes, set_aside

__all__ = ["JournalError", "Letter", "State", "chosen_processes", "letters", "look", "unreadable_files"]

_ID = 12
"""Hexadecimal digits of a dead letter's id."""


class JournalError(PayiError):
    """A journal cannot be looked at, or what was asked for cannot be done; the message says why."""


@dataclass(frozen=True, slots=True)
class State:
    """What one process has.

    Args:
        alive: None if that cannot be told.
        records: calls in its spool, whose reports are not safe elsewhere yet.
        oldest: when the oldest of what is not delivered was recorded, seconds since 1970.
        size: bytes of disk.
        problem: why some of this is missing.
    """

    process: Process
    alive: bool | None
    counts: Counts
    records: int
    oldest: float | None
    size: int
    problem: str | None = None


@dataclass(frozen=True, slots=True)
class Letter:
    """A dead letter, and the process in whose file it is."""

    process: Process
    letter: DeadLetter

    @property
    def id(self) -> str:
        """What people name it by: made of the report, so that it stays the same when another process takes it over."""
        return hashlib.sha256(self.letter.row.item).hexdigest()[:_ID]


def chosen_processes(journal: Path, destination: str | None) -> list[Process]:
    """Return the processes that have files, of the destinations with a text in their addresses.

    Raises:
        JournalError: the journal cannot be read.
    """
    try:
        return [each for each in processes(journal) if destination is None or destination in each.destination]
    except OSError as error:
        raise _unreadable(journal, error) from error


def unreadable_files(journal: Path, destination: str | None) -> list[Path]:
    """Return the files that were set aside because no process could read them.

    Raises:
        JournalError: the journal cannot be read.
    """
    try:
        return [
            file
            for directory, address in destinations(journal)
            if destination is None or destination in address
            for file in set_aside(directory)
        ]
    except OSError as error:
        raise _unreadable(journal, error) from error


def _unreadable(journal: Path, error: OSError) -> JournalError:
    return JournalError(f"the journal {journal} cannot be read ({error.strerror}): run this as the app's user")


def look(process: Process) -> State:
    """Return what a process has, and what is wrong where that cannot be told."""
    alive: bool | None = None
    records: list[bytes] = []
    counts = Counts()
    problem = None
    try:
        alive = process.is_alive()
        records = process.records()
        counts = process.counts()
    except OSError as error:
        problem = str(error.strerror)
    except BacklogError as error:
        problem = str(error)
    oldest = min((moment for moment in (counts.oldest, _oldest(records)) if moment is not None), default=None)
    return State(process, alive, counts, len(records), oldest, process.size(), problem)


def _oldest(records: Iterable[bytes]) -> float | None:
    return min(filter(None, map(_ended, records)), default=None)


def _ended(record: bytes) -> float | None:
    try:
        return read_record(record)[0].timing.ended.timestamp()
    except Exception:  # noqa: BLE001 - another version has written it
        return None


def letters(chosen: Iterable[Process], code: str | None = None) -> Iterator[Letter]:
    """Yield the dead letters of some processes, those refused with a code if one is given.

    Raises:
        JournalError: a file cannot be read.
    """
    for process in chosen:
        try:
            for letter in dead_letters(process.database):
                if code is None or letter.code == code:
                    yield Letter(process, letter)
        except BacklogError as error:
            raise JournalError(f"{process.database} cannot be read ({error})") from error
