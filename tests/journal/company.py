"""Other processes, and journals that they have left."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from payi_middleware.journal import Backlog, DeadLetter, Home, Row
from payi_middleware.journal.spool import read_records

ROOT = Path(__file__).parents[2]
MOST = 1 << 30
"""Bytes that a backlog may take where its bound does not matter."""
SLOT, SLOTS = 4096, 1024
ROOM = SLOT - 12
LONGEST = 64 * ROOM
"""Bytes of a slot, and of a record in one slot and in the longest chain; slots of a spool."""


class Child:
    """A process that does one of the `acts`."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process

    def hear(self) -> str:
        """Wait for its next line; empty when there will be none."""
        assert self.process.stdout is not None
        return self.process.stdout.readline().rstrip("\n")

    def tell(self) -> None:
        """Have it go on."""
        assert self.process.stdin is not None
        self.process.stdin.write("\n")
        self.process.stdin.flush()

    def end(self) -> int:
        """Wait for its end, and return its exit status."""
        return self.process.wait(120)


@contextmanager
def child(act: str, *arguments: object) -> Iterator[Child]:
    """Have a process do something; it is killed at the end if it still lives."""
    command = [sys.executable, "-m", "tests.journal.acts", act, *map(str, arguments)]
    with subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        try:
            yield Child(process)
        finally:
            process.kill()


def said_by(act: str, *arguments: object) -> str:
    """Have a process do something, and return the first line that it says."""
    with child(act, *arguments) as process:
        return process.hear()


def leave_behind(directory: Path, *records: bytes, rows: tuple[bytes, ...] = ()) -> Path:
    """Leave a journal as a process does that has ended; its spool is returned."""
    home = Home(directory, "here", MOST)
    for record in records:
        home.spool.put(record)
    if rows:
        home.backlog.append([Row(row) for row in rows])
    home.close(keep=True)
    return home.spool.path


def records_in(spool: Path) -> list[bytes]:
    """Return what somebody else would find, in order of the bytes."""
    return sorted(read_records(spool))


def report(number: int, size: int = 40) -> Row:
    """Return a report that is known by its number."""
    return Row(json.dumps({"number": number, "filling": "x" * size}).encode(), recorded=1e9 + number)


def letter(row: Row, message: str = "no such limit") -> DeadLetter:
    """Return a dead letter."""
    return DeadLetter(row, 1.5e9, 400, "unknown_limit", message)


def everything(backlog: Backlog) -> list[bytes]:
    """Return all reports of a backlog, in order."""
    return [row.item for row in backlog.take(1 << 30, most_bytes=1 << 40)]


def stored(home: Home) -> list[bytes]:
    """Return the reports in its backlog."""
    return [row.item for row in home.backlog.take(1000, most_bytes=MOST)]


def files(directory: Path, *homes: Home) -> set[str]:
    """Return the files that are neither these homes' own, nor for people, nor what SQLite makes to look into others."""
    own = {home.spool.path.stem for home in homes}
    names = {path.name for path in directory.iterdir() if path.name.split(".")[0] not in own}
    return {name for name in names if not name.endswith(("-wal", "-shm"))} - {"destination"}
