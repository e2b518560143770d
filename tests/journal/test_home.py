"""A process's journal: what it leaves behind is taken over by exactly one other, and by nobody while it lives."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

import pytest

from payi_middleware.journal import Backlog, BacklogError, DeadLetter, Home, Row
from payi_middleware.journal.inspection import dead_letters
from tests.journal.acts import item
from tests.journal.company import MOST, child, files, leave_behind, stored

LONG = 300_000
"""Bytes of a record that has a file of its own."""


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    return tmp_path / "journal" / "destination"


@pytest.fixture
def home(directory: Path) -> Iterator[Home]:
    opened = Home(directory, "here", MOST)
    yield opened
    opened.close()


def given_up(home: Home) -> None:
    """Store a report in a backlog that fails afterwards."""
    home.backlog.append([Row(b"{}")])
    home.give_up_backlog()


# --- what there is --------------------------------------------------------------------------------------------------


def test_nobody_else_may_look_into_a_journal(directory: Path, home: Home) -> None:
    home.spool.put(b"x" * LONG)
    home.backlog.append([Row(b"{}")])

    assert directory.stat().st_mode & 0o777 == 0o700
    assert directory.parent.stat().st_mode & 0o777 == 0o700
    assert {path.suffix: path.stat().st_mode & 0o777 for path in directory.iterdir()} == {
        **dict.fromkeys(("", ".spool", ".record"), 0o600),
        **dict.fromkeys((".db", ".db-wal", ".db-shm", ".db-reserve"), 0o600),
    }
    assert (directory / "destination").read_text() == "here\n"


def test_a_journal_with_nothing_in_it_leaves_nothing_behind(directory: Path) -> None:
    home = Home(directory, "here", MOST)
    tickets = [home.spool.put(b"x" * length) for length in (1, LONG)]
    home.backlog.append([Row(b"{}")])
    for ticket in tickets:
        home.spool.clear(ticket)
    home.backlog.acknowledge([1])

    home.close()

    assert files(directory) == set()


def test_a_journal_stays_where_there_is_anything_in_it(directory: Path) -> None:
    """Its spool, too, as it is by that that the others are found."""
    left: list[set[str]] = []
    works: tuple[Callable[[Home], Any], ...] = (
        lambda home: home.spool.put(b"one"),
        lambda home: home.spool.put(b"x" * LONG),
        lambda home: home.backlog.append([Row(b"{}")]),
        lambda home: home.backlog.append([], [DeadLetter(Row(b"{}"), 1.0, 400, "", "")]),
        given_up,
    )
    for work in works:
        home = Home(directory, "here", MOST)
        work(home)
        home.close()
        left.append({path.suffix for path in directory.glob(f"{home.spool.path.stem}.*")})

    assert left == [{".spool"}, {".spool", ".record"}, *[{".spool", ".db"}] * 3]


@pytest.mark.parametrize("where", ["file/destination", "file", "/proc/nothing/here"])
def test_a_directory_that_cannot_be_made_or_written_is_an_error_of_the_operating_system(
    tmp_path: Path, where: str
) -> None:
    (tmp_path / "file").touch()

    with pytest.raises(OSError, match=r"(?i)directory|exists|permit"):
        Home(tmp_path / where, "here", MOST)


def test_a_directory_of_others_is_an_error_of_the_operating_system(tmp_path: Path) -> None:
    """The administrator may write everywhere, so somebody else tries."""
    place = tmp_path / "theirs"
    place.mkdir(mode=0o755)
    script = (
        "import os, sys, pathlib; from payi_middleware.journal import Home\n"
        "if os.geteuid() == 0: os.setgid(65534); os.setuid(65534)\n"
        "else: pathlib.Path(sys.argv[1]).chmod(0o500)\n"
        "try: Home(pathlib.Path(sys.argv[1]), 'here', 1 << 20)\n"
        "except OSError as error: print(type(error).__name__)\n"
    )
    for parent in tmp_path.parents:
        if parent.stat().st_mode & 0o005 != 0o005 and os.geteuid() == 0:
            parent.chmod(parent.stat().st_mode | 0o005)
    tmp_path.chmod(0o755)

    outcome = subprocess.run([sys.executable, "-c", script, str(place)], capture_output=True, text=True, check=False)

    assert outcome.stdout == "PermissionError\n", outcome.stderr
    assert list(place.iterdir()) == []


def test_a_full_disk_is_an_error_and_leaves_nothing(small_disk: Path) -> None:
    first = Home(small_disk / "journal", "here", MOST)

    with pytest.raises(OSError, match="No space left"):
        Home(small_disk / "journal", "here", MOST)

    assert files(small_disk / "journal", first) == set()
    first.close()


def test_a_journal_works_on_after_the_app_has_changed_its_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    home = Home(Path("journal"), "here", MOST)
    other = leave_behind(tmp_path / "journal", b"one")
    monkeypatch.chdir("/")

    home.spool.put(b"x" * LONG)

    assert home.adopt(item) == 1
    assert not other.exists()
    assert stored(home) == [b"one"]
    home.close()
    assert {path.suffix for path in (tmp_path / "journal").iterdir()} == {"", ".spool", ".db", ".record"}


# --- the dead -------------------------------------------------------------------------------------------------------


def test_everything_that_an_ended_process_has_left_is_taken_over_and_its_files_go(directory: Path, home: Home) -> None:
    leave_behind(directory, b"one", b"x" * LONG, rows=(b'{"a":1}', b'{"a":2}'))
    spool = leave_behind(directory, rows=(b'{"a":3}',))
    with closing(Backlog(spool.with_suffix(".db"), MOST)) as backlog:
        backlog.append([], [DeadLetter(Row(b'{"a":4}'), 1.0, 400, "", "")])
    leave_behind(directory)

    assert home.adopt(item) == 5

    assert sorted(stored(home)) == sorted([b"one", b"x" * LONG, b'{"a":1}', b'{"a":2}', b'{"a":3}'])
    assert [dead.row.item for dead in dead_letters(home.spool.path.with_suffix(".db"))] == [b'{"a":4}']
    assert files(directory, home) == set()
    assert home.adopt(item) == 0


def test_what_a_killed_process_has_left_is_taken_over(directory: Path, home: Home) -> None:
    with child("live", directory, 1, 2, 3) as process:
        process.hear()
        assert home.adopt(item) == 0
        process.tell()
        assert process.end() == -9

    assert home.adopt(item) == 6
    assert sorted(stored(home)) == sorted([b"1", b"2", b"3", b'{"kept":1}', b'{"kept":2}', b'{"kept":3}'])
    assert files(directory, home) == set()


def test_a_record_that_is_no_inference_is_left_out_and_goes(directory: Path, home: Home) -> None:
    leave_behind(directory, b"none", b"one")

    assert home.adopt(lambda record: None if record == b"none" else Row(record)) == 1
    assert stored(home) == [b"one"]
    assert files(directory, home) == set()


def test_records_that_cannot_be_read_are_set_aside_and_the_others_are_taken_over(
    directory: Path, home: Home, caplog: pytest.LogCaptureFixture
) -> None:
    """What was set aside is nothing but these records, and nobody else may look at them."""
    spool = leave_behind(directory, b"one", b"[2", b"3" * LONG, b"[4" * LONG)

    def read(record: bytes) -> Row:
        if record.startswith(b"["):
            raise ValueError("the secret of the record")
        return Row(record)

    assert home.adopt(read) == 2

    assert sorted(stored(home)) == [b"3" * LONG, b"one"]
    aside = sorted(directory.glob("*.unreadable"))
    assert [path.name for path in aside] == [f"{spool.stem}.{number}.unreadable" for number in range(2)]
    assert [path.read_bytes() for path in aside] == [b"[2", b"[4" * LONG]
    assert {path.stat().st_mode & 0o777 for path in aside} == {0o600}
    assert files(directory, home) == {path.name for path in aside}
    assert "secret" not in caplog.text
    assert "ValueError" in caplog.text
    assert home.adopt(read) == 0


def test_what_a_version_with_other_files_has_left_stays_for_that_version(directory: Path, home: Home) -> None:
    spool = leave_behind(directory, b"one", rows=(b"{}",))
    spool.write_bytes(spool.read_bytes().replace(b"payi-spool-3\n", b"payi-spool-4\n", 1))

    assert home.adopt(item) == 0

    assert files(directory, home) == {spool.name, spool.with_suffix(".db").name}


@pytest.mark.parametrize("content", [b"", b"nonsense" * 10_000])
def test_a_spool_of_nonsense_goes_with_what_was_beside_it(directory: Path, home: Home, content: bytes) -> None:
    spool = leave_behind(directory, b"one", b"x" * LONG, rows=(b"{}",))
    spool.write_bytes(content)

    assert home.adopt(item) == 2

    assert sorted(stored(home)) == [b"x" * LONG, b"{}"]
    assert files(directory, home) == set()


def test_a_damaged_backlog_is_set_aside_and_what_can_be_read_is_taken_over(
    directory: Path, home: Home, caplog: pytest.LogCaptureFixture
) -> None:
    spool = leave_behind(directory, b"one", rows=tuple(b'{"number":%d,"x":"%s"}' % (n, b"x" * 1500) for n in range(50)))
    database = spool.with_suffix(".db")
    content = bytearray(database.read_bytes())
    content[len(content) // 2 // 4096 * 4096 :][:4096] = bytes(4096)
    page = len(content) // 2 // 4096 * 4096
    content[page : page + 4096] = b"\xff" * 4096
    database.write_bytes(content)

    assert home.adopt(item) == 49

    numbers = [json.loads(each)["number"] for each in stored(home) if each != b"one"]
    assert len(set(numbers)) == 48
    assert "damaged" in caplog.text
    (aside,) = files(directory, home)
    assert aside.startswith(spool.stem)
    assert ".damaged" in aside
    assert not spool.exists()
    assert home.adopt(item) == 0


def test_a_backlog_that_is_no_database_is_set_aside_and_the_records_are_taken_over(directory: Path, home: Home) -> None:
    spool = leave_behind(directory, b"one")
    spool.with_suffix(".db").write_bytes(b"no database " * 1000)

    assert home.adopt(item) == 1

    assert stored(home) == [b"one"]
    (aside,) = files(directory, home)
    assert (directory / aside).read_bytes() == b"no database " * 1000


def test_the_backlog_of_a_process_that_was_killed_while_it_made_it_goes(directory: Path, home: Home) -> None:
    spool = leave_behind(directory, b"one")
    spool.with_suffix(".db").touch()

    assert home.adopt(item) == 1
    assert files(directory, home) == set()


@pytest.mark.parametrize("begun", [False, True], ids=["no backlog yet", "a backlog"])
def test_nothing_is_taken_over_while_it_cannot_be_stored_and_everything_afterwards(
    mount_disk: Callable[[int], Path], caplog: pytest.LogCaptureFixture, begun: bool
) -> None:
    """The disk is full; nothing is set aside or lost for that."""
    disk = mount_disk(10)
    spool = leave_behind(disk, *[b"%d" % n * 100 for n in range(10)], rows=(b'{"x":"%s"}' % (b"x" * 200_000),) * 2)
    home = Home(disk, "here", MOST)
    if begun:
        home.backlog.append([Row(b"{}")])
    with suppress(OSError), open(disk / "filling", "wb", buffering=0) as filling:
        while filling.write(bytes(4096)):
            pass
    before = files(disk, home)

    for _ in range(3):
        with suppress(BacklogError):
            assert home.adopt(item) == 0
        assert files(disk, home) == before
    (disk / "filling").unlink()

    assert home.adopt(item) == 12
    assert len(stored(home)) == 12 + begun
    assert not spool.exists()
    assert "damaged" not in caplog.text
    home.close()


def test_a_backlog_that_somebody_keeps_busy_stays_until_later(directory: Path, home: Home) -> None:
    """A person looks into it; the other processes' files do not have to wait for that."""
    busy = leave_behind(directory, b"one", rows=(b'{"a":1}',))
    leave_behind(directory, b"two", rows=(b'{"a":2}',))
    with child("occupy", busy.with_suffix(".db")) as somebody:
        assert somebody.hear() == "busy"
        found = home.adopt(item)
        left = files(directory, home)
        somebody.tell()
        somebody.end()

    assert found + home.adopt(item) == 4
    assert {busy.name} <= left | {busy.name}
    assert sorted(stored(home)) == sorted([b"one", b"two", b'{"a":1}', b'{"a":2}'])
    assert files(directory, home) == set()


def test_a_backlog_that_failed_is_opened_anew(directory: Path, home: Home, caplog: pytest.LogCaptureFixture) -> None:
    home.backlog.append([Row(b'{"a":%d}' % number) for number in range(5)])
    home.give_up_backlog()
    database = home.spool.path.with_suffix(".db")
    database.write_bytes(database.read_bytes()[:-4096] + b"x" * 5000)

    assert home.adopt(item) == 0

    home.backlog.append([Row(b'{"a":9}')])
    assert b'{"a":9}' in stored(home)
    assert "damaged" in caplog.text
