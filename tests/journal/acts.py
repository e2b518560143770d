"""What other processes do in these tests: `python -m tests.journal.acts NAME ARGUMENTS`.

They say a line when they have come to a point, and go on when they are told a line.
"""

from __future__ import annotations

import os
import resource
import signal
import sys
from collections.abc import Callable
from pathlib import Path

from payi_middleware.journal import Backlog, Home, Row, Spool
from payi_middleware.journal.locking import lock_left_behind

MOST = 1 << 30


def say(*words: object) -> None:
    sys.stdout.write(" ".join(map(str, words)) + "\n")
    sys.stdout.flush()


def wait() -> None:
    sys.stdin.readline()


def item(record: bytes) -> Row:
    """Take a record for the report that it would become."""
    return Row(record)


def die(path: str, *lengths: str) -> None:
    """Put records, and be killed at once."""
    spool = Spool(Path(path))
    for number, length in enumerate(lengths):
        spool.put(bytes([65 + number]) * int(length))
    os.kill(os.getpid(), signal.SIGKILL)


def fill(path: str, most: str, length: str) -> None:
    """Put a record on a disk that has no room for all of it."""
    spool = Spool(Path(path))
    _, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (int(most), hard))
    try:
        spool.put(b"x" * int(length))
    except OSError as error:
        say(type(error).__name__, spool.empty)
    else:
        say("written")


def live(directory: str, *records: str) -> None:
    """Keep records in a journal, and in its backlog, until told to end; then end without a word."""
    home = Home(Path(directory), "here", MOST)
    for record in records:
        home.spool.put(record.encode())
        home.backlog.append([Row(b'{"kept":%s}' % record.encode())])
    say(home.spool.path)
    wait()
    os.kill(os.getpid(), signal.SIGKILL)


def live_with_child(directory: str, record: str) -> None:
    """Keep a record and have a forked child; both live on until nobody talks to them any more."""
    home = Home(Path(directory), "here", MOST)
    home.spool.put(record.encode())
    if os.fork() == 0:
        say(home.spool.path)
    wait()


def fork_and_go_on(directory: str, record: str) -> None:
    """Keep a record, and have a forked child look into the journal, keep one itself and end as programs do."""
    home = Home(Path(directory), "here", MOST)
    home.spool.put(record.encode())
    child = os.fork()
    if child == 0:
        own = Home(Path(directory), "here", MOST)
        own.spool.put(b"of the child")
        found = own.adopt(item)
        home.close()
        own.close(keep=False)
        sys.exit(found)
    _, status = os.waitpid(child, 0)
    say(os.waitstatus_to_exitcode(status), home.spool.path)
    wait()


def adopt(directory: str) -> None:
    """Adopt when told, and say what was found."""
    home = Home(Path(directory), "here", MOST)
    say("ready")
    wait()
    say(_adopted(home, item))
    wait()
    home.close()


def adopt_slowly(directory: str) -> None:
    """Adopt, and wait to be told amid of it."""

    def read(record: bytes) -> Row:
        say("reading")
        wait()
        return Row(record)

    home = Home(Path(directory), "here", MOST)
    say(_adopted(home, read))
    home.close()


def _adopted(home: Home, read: Callable[[bytes], Row]) -> str:
    home.adopt(read)
    rows = home.backlog.take(10_000, most_bytes=MOST)
    home.backlog.acknowledge([row.id for row in rows])
    return "|".join(row.item.decode() for row in rows)


def lock(path: str) -> None:
    """Say whether the lock on a spool is to be had."""
    say("free" if (taken := lock_left_behind(Path(path))) else "held")
    if taken:
        taken.release()


def occupy(path: str) -> None:
    """Keep a transaction open that writes to a backlog."""
    backlog = Backlog(Path(path), MOST)
    backlog._connection.execute("BEGIN EXCLUSIVE")
    say("busy")
    wait()


if __name__ == "__main__":
    globals()[sys.argv[1]](*sys.argv[2:])
