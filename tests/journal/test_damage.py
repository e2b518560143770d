"""Damaged files and full disks: what can be saved is saved, and nothing is made up."""

from __future__ import annotations

import json
import random
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from pathlib import Path

import pytest

from payi_middleware.journal import Backlog, BacklogError, BacklogFullError, Counts
from payi_middleware.journal.inspection import dead_letters
from tests.journal.company import MOST, child, everything, letter, report

PAGE = 4096


@pytest.fixture
def backlog(tmp_path: Path) -> Iterator[Backlog]:
    opened = Backlog(tmp_path / "one.db", MOST)
    yield opened
    opened.close()


def stored(path: Path, rows: int, size: int) -> bytes:
    """Return the content of a file with that many reports, and half as many dead letters."""
    backlog = Backlog(path, MOST)
    backlog.append([report(number, size) for number in range(rows)])
    backlog.append([], [letter(report(number, size)) for number in range(rows // 2)])
    backlog.close()
    return path.read_bytes()


def check_saved(size: int, number: int, saved: list[bytes], lost: int) -> None:
    """Check that no more are missing, and that those which were saved are as they were, in order."""
    found = [int(json.loads(each)["number"]) for each in saved]
    assert found == sorted(set(found))
    assert all(report(each, size).item == item for each, item in zip(found, saved, strict=True))  # too long to be shown
    assert len(set(range(number)) - set(found)) <= lost


def opened_again(damaged: Path) -> Backlog:
    """Save what can be saved as the process does whose file it is."""
    backlog = Backlog(damaged, MOST)
    assert backlog.salvaged
    (aside,) = damaged.parent.glob("damaged.db.damaged-*")
    assert aside.stat().st_mode & 0o777 == 0o600
    return backlog


def taken_over(damaged: Path) -> Backlog:
    """Save what can be saved as the process does that comes next."""
    backlog = Backlog(damaged.with_name("next.db"), MOST)
    taken, is_damaged = backlog.take_over(damaged)
    assert is_damaged
    assert taken == backlog.counts().pending
    return backlog


SAVING = pytest.mark.parametrize("save", [opened_again, taken_over])


@SAVING
@pytest.mark.parametrize(("size", "number", "a_page"), [(40, 4000, 60), (1500, 200, 2), (9000, 200, 8)])
@pytest.mark.parametrize("part", [0.15, 0.35, 0.55, 0.75, 0.95])
def test_what_is_around_a_page_that_was_overwritten_is_saved(
    tmp_path: Path, save: Callable[[Path], Backlog], size: int, number: int, a_page: int, part: float
) -> None:
    damaged = tmp_path / "damaged.db"
    content = bytearray(stored(damaged, number, size))
    page = int(part * len(content)) // PAGE * PAGE
    content[page : page + PAGE] = random.Random(size).randbytes(PAGE)
    damaged.write_bytes(content)

    backlog = save(damaged)

    check_saved(size, number, everything(backlog), a_page)
    check_saved(size, number // 2, [dead.row.item for dead in dead_letters(backlog.path)], a_page)
    assert backlog.append([report(1)]) == backlog.last_id
    backlog.close()


@SAVING
def test_what_is_before_the_end_of_a_file_that_was_cut_is_saved(
    tmp_path: Path, save: Callable[[Path], Backlog]
) -> None:
    damaged = tmp_path / "damaged.db"
    content = stored(damaged, 200, 1500)
    damaged.write_bytes(content[: len(content) // 3])

    backlog = save(damaged)

    check_saved(1500, 200, everything(backlog), 110)
    backlog.close()


@SAVING
@pytest.mark.parametrize("content", [b"no database at all " * 999, b"SQLite format 3\0" + bytes(5000), bytes(3 * PAGE)])
def test_of_a_file_that_is_no_database_nothing_is_saved(
    tmp_path: Path, save: Callable[[Path], Backlog], content: bytes
) -> None:
    damaged = tmp_path / "damaged.db"
    damaged.write_bytes(content)
    damaged.chmod(0o600)

    backlog = save(damaged)

    assert backlog.counts() == Counts()
    backlog.append([report(1)])
    assert everything(backlog) == [report(1).item]
    backlog.close()


@SAVING
def test_rows_that_damage_has_made_up_are_not_saved(tmp_path: Path, save: Callable[[Path], Backlog]) -> None:
    damaged = tmp_path / "damaged.db"
    stored(damaged, 200, 1500)
    for item, module, content in (
        ("1000000000000", "NULL", "0"),
        ("x'7b'", "NULL", "0"),
        ("x'7b7d'", "NULL", "'x'"),
        ("x'7b7d'", "CAST(x'ff' AS TEXT)", "0"),
    ):
        with closing(sqlite3.connect(damaged)) as connection, connection:
            connection.execute(f"INSERT INTO pending SELECT NULL, {item}, {module}, {content}, 1.0, 0")
            connection.execute(f"INSERT INTO dead SELECT NULL, {item}, {module}, {content}, 1.0, 0, 1.0, 400, 'x', 'x'")
    whole = bytearray(damaged.read_bytes())
    page = int(0.3 * len(whole)) // PAGE * PAGE
    whole[page : page + PAGE] = bytes(PAGE)
    damaged.write_bytes(whole)

    backlog = save(damaged)

    check_saved(1500, 200, everything(backlog), 2)
    check_saved(1500, 100, [dead.row.item for dead in dead_letters(backlog.path)], 2)
    backlog.close()


def test_what_another_process_had_written_before_a_kill_is_taken_over(tmp_path: Path) -> None:
    """Its write-ahead log was not put into the file yet."""
    with child("live", tmp_path, *range(20)) as process:
        spool = Path(process.hear())
        process.tell()
        process.end()
    database = spool.with_suffix(".db")
    assert database.with_name(database.name + "-wal").stat().st_size > 0

    backlog = Backlog(tmp_path / "next.db", MOST)

    assert backlog.take_over(database) == (20, False)
    assert everything(backlog) == [b'{"kept":%d}' % number for number in range(20)]
    backlog.close()


# --- a full disk ----------------------------------------------------------------------------------------------------


def test_what_finds_no_room_in_the_file_is_refused_and_the_rest_stays(backlog: Backlog) -> None:
    backlog.append([report(0)])
    backlog._connection.execute("PRAGMA max_page_count = 20")

    with pytest.raises(BacklogError, match="full"):
        backlog.append([report(number, 1000) for number in range(100)])

    assert everything(backlog) == [report(0).item]
    backlog.append([report(1)])
    backlog.acknowledge([1])
    assert everything(backlog) == [report(1).item]


def test_a_full_disk_refuses_reports_and_keeps_those_that_it_took(small_disk: Path, tmp_path: Path) -> None:
    backlog = Backlog(small_disk / "one.db", MOST)
    other = Backlog(tmp_path / "two.db", MOST)
    other.append([report(-1, 10_000) for _ in range(100)])
    filling = small_disk / "filling"
    filling.write_bytes(bytes(4 << 20))
    kept = 0
    with suppress(BacklogError):
        while backlog.append([report(kept, 10_000)]):
            kept += 1

    with pytest.raises(BacklogError):
        backlog.take_over(other.path)
    with pytest.raises(BacklogError):
        Backlog(small_disk / "three.db", MOST)
    assert everything(backlog) == [report(number, 10_000).item for number in range(kept)]
    filling.unlink()
    assert backlog.take_over(other.path) == (100, False)
    backlog.acknowledge(range(1, kept + 1))

    assert everything(backlog) == [report(-1, 10_000).item] * 100
    backlog.close()
    other.close()


@pytest.mark.parametrize("size", [100, 10_000])
def test_what_was_delivered_is_taken_out_of_a_file_that_has_filled_the_disk(small_disk: Path, size: int) -> None:
    backlog = Backlog(small_disk / "one.db", MOST)
    kept = 0
    with suppress(BacklogFullError):
        while backlog.append([report(kept + number, size) for number in range(50)]):
            kept += 50
    (small_disk / "filling").touch()
    with suppress(OSError), open(small_disk / "filling", "ab", buffering=0) as filling:
        while filling.write(bytes(4096)):
            pass
    assert backlog.counts().pending == kept > 100

    delivered: list[bytes] = []
    while rows := backlog.take(100):
        backlog.acknowledge([row.id for row in rows])
        delivered += [row.item for row in rows]

    assert delivered == [report(number, size).item for number in range(kept)]
    assert backlog.counts().pending == 0
    (small_disk / "filling").unlink()
    backlog.append([report(-1)])
    backlog.acknowledge([backlog.last_id])
    assert not backlog.close()
    assert list(small_disk.iterdir()) == []


def test_what_cannot_be_taken_out_is_not_read_again(backlog: Backlog, monkeypatch: pytest.MonkeyPatch) -> None:
    """A mock stands for a disk that stays full: how much a real one still lets through is the file system's secret."""
    backlog.append([report(number) for number in range(10)])

    def full(*_: object) -> int:
        error = sqlite3.OperationalError("database or disk is full")
        error.sqlite_errorcode = sqlite3.SQLITE_FULL
        raise error

    with monkeypatch.context() as patch:
        patch.setattr(backlog, "_replace", full)
        backlog.acknowledge([4, 5])
        backlog.acknowledge([1, 2, 3])
        backlog.acknowledge([8])
        assert [row.id for row in backlog.take(2)] == [6, 7]
        assert [row.id for row in backlog.take(10)] == [6, 7, 9, 10]
        assert backlog.counts().pending == 4
        with pytest.raises(BacklogFullError):
            backlog.acknowledge([6], [letter(report(6))])

    backlog.acknowledge([7])

    assert [row.id for row in backlog.take(10)] == [6, 9, 10]
    assert backlog.counts().pending == 3
