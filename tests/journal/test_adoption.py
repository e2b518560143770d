"""Who adopts what: nobody a living process's files, and exactly one process or thread each report of a dead one."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from payi_middleware.journal import Home, locking
from payi_middleware.journal.locking import lock_left_behind
from tests.journal.acts import item
from tests.journal.company import MOST, child, files, leave_behind, records_in, said_by, stored


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    return tmp_path / "journal" / "destination"


@pytest.fixture
def home(directory: Path) -> Iterator[Home]:
    opened = Home(directory, "here", MOST)
    yield opened
    opened.close()


def test_files_of_a_living_process_are_not_touched_even_while_it_is_stopped(directory: Path, home: Home) -> None:
    with child("live", directory, 1) as process:
        spool = Path(process.hear())
        there = files(directory, home)
        os.kill(process.process.pid, signal.SIGSTOP)
        os.waitid(os.P_PID, process.process.pid, os.WSTOPPED | os.WNOWAIT)

        assert home.adopt(item) == 0

        assert files(directory, home) == there
        assert records_in(spool) == [b"1"]
        os.kill(process.process.pid, signal.SIGCONT)


def test_a_child_that_ends_takes_nothing_from_its_parent(directory: Path, home: Home) -> None:
    with child("fork_and_go_on", directory, "of the parent") as process:
        found, spool = process.hear().split(" ", 1)
        assert found == "0"

        assert home.adopt(item) == 1

        assert stored(home) == [b"of the child"]
        assert files(directory, home) == {Path(spool).name}


def test_a_killed_parent_is_adopted_although_its_child_lives(directory: Path, home: Home) -> None:
    with child("live_with_child", directory, "of the parent") as process:
        process.hear()
        assert home.adopt(item) == 0
        process.process.kill()
        process.end()

        assert home.adopt(item) == 1

        assert stored(home) == [b"of the parent"]
        assert files(directory, home) == set()


@pytest.mark.parametrize("spelling", ["{}", "{}/../destination", "{}/"])
def test_other_journals_of_the_same_process_are_not_touched_and_keep_their_locks(
    directory: Path, home: Home, spelling: str
) -> None:
    """Two apps of one process may report to one destination."""
    home.spool.put(b"one")
    other = Home(Path(spelling.format(directory)), "here", MOST)
    other.spool.put(b"two")

    assert home.adopt(item) == other.adopt(item) == 0
    assert said_by("lock", home.spool.path) == said_by("lock", other.spool.path) == "held"

    other.close()
    assert home.adopt(item) == 1
    assert stored(home) == [b"two"]
    assert said_by("lock", home.spool.path) == "held"


def test_a_journal_reached_by_two_names_is_one(directory: Path, home: Home, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(directory, target_is_directory=True)
    other = Home(tmp_path / "link", "here", MOST)

    assert home.adopt(item) == other.adopt(item) == 0
    assert said_by("lock", home.spool.path) == said_by("lock", other.spool.path) == "held"
    other.close()


# --- two at once ----------------------------------------------------------------------------------------------------


def test_two_processes_that_adopt_at_once_get_each_report_exactly_once(directory: Path) -> None:
    everything = [f"{n} {part}" for n in range(60) for part in "abcd"]
    for n in range(60):
        leave_behind(directory, b"%d a" % n, b"%d b" % n, rows=(b"%d c" % n, b"%d d" % n))

    with child("adopt", directory) as one, child("adopt", directory) as other:
        for each in (one, other):
            assert each.hear() == "ready"
        for each in (one, other):
            each.tell()
        shares = [each.hear().split("|") for each in (one, other)]
        for each in (one, other):
            each.tell()
            assert each.end() == 0

    assert sorted(shares[0] + shares[1]) == sorted(everything)
    assert files(directory) == set()


def test_threads_of_one_process_that_adopt_at_once_get_each_report_exactly_once(directory: Path) -> None:
    """Locks of this kind do not keep the threads of one process from each other."""
    homes = [Home(directory, "here", MOST) for _ in range(4)]
    for n in range(40):
        leave_behind(directory, b"%d a" % n, rows=(b"%d b" % n,))
    begin = threading.Barrier(4)

    def adopt(home: Home) -> int:
        begin.wait()
        return home.adopt(item)

    with ThreadPoolExecutor(4) as threads:
        found = sum(threads.map(adopt, homes))

    assert found == 80
    assert sorted(each for home in homes for each in stored(home)) == sorted(
        b"%d %s" % (n, part) for n in range(40) for part in (b"a", b"b")
    )
    for home in homes:
        home.close()


def test_nobody_gets_in_between_while_a_process_adopts(directory: Path, home: Home) -> None:
    """Reading the records must not let go of the lock on them."""
    spool = leave_behind(directory, b"one")
    with child("adopt_slowly", directory) as slow:
        assert slow.hear() == "reading"

        assert said_by("lock", spool) == "held"
        assert home.adopt(item) == 0

        slow.tell()
        assert slow.hear() == "one"
        assert slow.end() == 0
    assert not spool.exists()


def test_a_spool_that_was_done_with_between_opening_and_locking_is_left_alone(
    directory: Path, home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The moment in between cannot be hit from outside, so the other process comes in the call of `lockf`."""
    spool = leave_behind(directory, b"one")
    lockf = locking.fcntl.lockf

    def lock_late(descriptor: int, operation: int) -> None:
        spool.rename(spool.with_suffix(".elsewhere"))
        lockf(descriptor, operation)

    monkeypatch.setattr(locking.fcntl, "lockf", lock_late)

    assert lock_left_behind(spool) is None
