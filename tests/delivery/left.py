"""What is in the journal of this process, as people see it, and waiting for it to be so."""

from __future__ import annotations

import sqlite3
from contextlib import closing, suppress
from pathlib import Path

from payi_middleware import Settings
from payi_middleware.journal import BacklogError, DeadLetter
from payi_middleware.journal.inspection import dead_letters, processes


def databases(settings: Settings) -> list[Path]:
    """Return the backlogs under these settings."""
    assert isinstance(settings.journal, Path)
    return [process.database for process in processes(settings.journal) if process.database.exists()]


def letters(settings: Settings) -> list[DeadLetter]:
    """Return the dead letters."""
    return [letter for database in databases(settings) for letter in dead_letters(database)]


def stored(settings: Settings) -> int:
    """Return how many reports wait in the journal."""
    assert isinstance(settings.journal, Path)
    counted = 0
    for process in processes(settings.journal):
        with suppress(BacklogError):  # the file is just being made
            counted += process.counts().pending
    return counted


def damage(settings: Settings, statement: str, *values: object) -> None:
    """Change the backlog behind its owner's back."""
    (database,) = databases(settings)
    with closing(sqlite3.connect(database, timeout=10)) as connection, connection:
        connection.execute(statement, values)
