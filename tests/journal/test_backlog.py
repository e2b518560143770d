"""The backlog: reports stay in it, whole and in order, until they are acknowledged or there is no room for them."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Iterator
from contextlib import closing, suppress
from pathlib import Path

import pytest

from payi_middleware.journal import Backlog, BacklogError, Counts, DeadLetter, Row
from payi_middleware.journal.inspection import dead_letters, pending_rows, retry_dead_letters
from tests.journal.company import MOST, child, everything, letter, report


def items(rows: list[Row]) -> list[bytes]:
    return [row.item for row in rows]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "one.db"


@pytest.fixture
def backlog(path: Path) -> Iterator[Backlog]:
    opened = Backlog(path, MOST)
    yield opened
    opened.close()


# --- in and out -----------------------------------------------------------------------------------------------------


def test_a_report_comes_back_as_it_was_stored(backlog: Backlog) -> None:
    row = Row(b'{"a":"\xc3\xa5 \\ud800"}', "openai/3.54.0 \xe5", content=True, recorded=1.25e9, attempts=3)

    assert backlog.append([row, Row(b"{}")]) == 2
    first, second = backlog.take(10)

    assert (first.item, first.module, first.content, first.recorded, first.attempts) == row.values
    assert (first.id, second.id, second.module, second.content, second.attempts) == (1, 2, None, False, 0)


def test_the_oldest_reports_are_taken_and_stay_until_they_are_acknowledged(backlog: Backlog) -> None:
    rows = [report(number) for number in range(5)]
    backlog.append(rows[:3])
    assert backlog.append(rows[3:]) == 5 == backlog.last_id

    assert items(backlog.take(2)) == items(rows[:2])
    assert items(backlog.take(2, after=2)) == items(rows[2:4])
    backlog.acknowledge([1, 3])

    assert everything(backlog) == items([rows[1], rows[3], rows[4]])
    assert backlog.counts() == Counts(pending=3, oldest=rows[1].recorded)


@pytest.mark.parametrize(("most", "taken"), [(0, 1), (150, 1), (250, 2), (1 << 20, 4)])
def test_no_more_bytes_are_taken_than_asked_for_but_one_report_at_least(
    backlog: Backlog, most: int, taken: int
) -> None:
    backlog.append(Row(b'"%98d"' % number) for number in range(4))

    assert len(backlog.take(10, most_bytes=most)) == taken


def test_refused_reports_are_buried_and_changed_ones_are_put_at_the_end(backlog: Backlog, path: Path) -> None:
    backlog.append([report(number) for number in range(4)])
    _, second, _, fourth = backlog.take(4)

    backlog.acknowledge([1, 2, 3], [letter(second)], [Row(b'{"changed":1}', attempts=1)])

    assert everything(backlog) == [fourth.item, b'{"changed":1}']
    assert backlog.counts() == Counts(pending=2, dead=1, oldest=fourth.recorded)
    (dead,) = dead_letters(path)
    assert (dead.row.item, dead.refused, dead.status) == (second.item, 1.5e9, 400)
    assert (dead.code, dead.message) == ("unknown_limit", "no such limit")


def test_texts_that_have_no_utf8_form_keep_nothing_from_being_stored(backlog: Backlog, path: Path) -> None:
    """A service's JSON may escape half a surrogate pair."""
    backlog.append([Row(b"{}", "\udc80")], [letter(report(1), "half of \ud83d\ude00 is \ud83d")])
    backlog.acknowledge([], [DeadLetter(report(2), 1.0, 400, "\ud800", "")])

    assert [row.module for row in backlog.take(1)] == ["\\udc80"]
    assert [dead.code for dead in dead_letters(path)] == ["unknown_limit", "\\ud800"]


def test_all_of_a_change_is_stored_or_nothing(backlog: Backlog) -> None:
    def broken() -> Iterator[Row]:
        yield report(2)
        raise MemoryError

    backlog.append([report(1)])
    with pytest.raises(MemoryError):
        backlog.append(broken())
    with pytest.raises(MemoryError):
        backlog.acknowledge([1], [letter(report(3))], broken())

    assert everything(backlog) == [report(1).item]
    assert backlog.counts().dead == 0


def test_the_file_is_private_and_goes_when_nothing_is_in_it(tmp_path: Path) -> None:
    for number, (rows, letters) in enumerate([([], []), ([report(1)], []), ([], [letter(report(1))])]):
        backlog = Backlog(tmp_path / f"{number}.db", MOST)
        backlog.append([report(0)])
        modes = {path.suffix: path.stat().st_mode & 0o777 for path in tmp_path.glob(f"{number}.*")}
        backlog.acknowledge([1])
        backlog.append(rows, letters)

        assert modes == dict.fromkeys((".db", ".db-wal", ".db-shm", ".db-reserve"), 0o600)
        assert backlog.close() is bool(rows or letters)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["1.db", "2.db"]


@pytest.mark.parametrize("name", ["a b", "what?", "#1", "100%", "%41", "å→日本", "a;b&mode=memory", "'\"`"])
def test_any_directory_may_hold_the_file(tmp_path: Path, name: str) -> None:
    place = tmp_path / name
    place.mkdir()
    backlog, other = Backlog(place / "one.db", MOST), Backlog(place / "two.db", MOST)
    other.append([report(1)], [letter(report(2))])

    assert backlog.take_over(other.path) == (1, False)
    assert retry_dead_letters(backlog.path, [1]) == 1

    assert everything(backlog) == items([report(1), report(2)])
    assert [row.item for row in pending_rows(other.path)] == [report(1).item]
    assert [entry.name for entry in tmp_path.iterdir()] == [name]
    backlog.close()
    other.close()


# --- the bound ------------------------------------------------------------------------------------------------------


def test_dead_letters_go_first_and_then_the_oldest_reports(path: Path) -> None:
    backlog = Backlog(path, 512 * 1024)
    backlog.append([report(number, 400) for number in range(500)], [letter(report(-1, 400)) for _ in range(200)])
    assert backlog.shrink() == (0, 0)
    backlog.append([report(number, 400) for number in range(500, 1000)])

    letters, reports = backlog.shrink()

    assert 100 < letters <= 200
    assert reports == 0
    backlog.append([report(number, 400) for number in range(1000, 2000)])
    letters, reports = backlog.shrink()
    left = everything(backlog)
    assert backlog.counts().dead == 0
    assert left == [report(number, 400).item for number in range(reports, 2000)]
    assert 400 * 1024 < sum(map(len, left)) < 512 * 1024
    assert backlog.shrink() == (0, 0)
    backlog.close()


def test_reports_that_are_being_delivered_are_spared(path: Path) -> None:
    backlog = Backlog(path, 1)
    backlog.append([report(number) for number in range(5)])

    assert backlog.shrink(spared=2) == (0, 3)

    assert everything(backlog) == items([report(0), report(1)])
    backlog.close()


def test_no_more_goes_than_the_bound_takes_however_large_reports_are(path: Path) -> None:
    backlog = Backlog(path, 2 << 20)
    backlog.append([report(number, 200_000) for number in range(11)], [letter(report(-1, 200_000)) for _ in range(2)])

    assert backlog.shrink() == (2, 1)

    assert everything(backlog) == [report(number, 200_000).item for number in range(1, 11)]
    backlog.close()


def test_what_is_shrunk_to_nothing_is_an_empty_file(path: Path) -> None:
    backlog = Backlog(path, 1)
    backlog.append([report(1)], [letter(report(2))])

    assert backlog.shrink() == (1, 1)
    assert backlog.counts() == Counts()
    assert not backlog.close()


# --- others at the same file ----------------------------------------------------------------------------------------


def test_dead_letters_are_put_back_while_their_process_has_the_file_open(backlog: Backlog, path: Path) -> None:
    backlog.append([report(0)], [letter(Row(b"{}", "sdk/1", content=True, recorded=5.0, attempts=4)) for _ in range(3)])

    assert retry_dead_letters(path, [2, 3, 9]) == 2

    assert [(row.id, row.module, row.content, row.recorded, row.attempts) for row in backlog.take(9)][1:] == [
        (2, "sdk/1", True, 5.0, 0),
        (3, "sdk/1", True, 5.0, 0),
    ]
    assert backlog.counts() == Counts(pending=3, dead=1, oldest=5.0)
    assert backlog.append([report(1)]) == 4


def test_putting_back_from_a_file_that_is_gone_makes_no_file(path: Path) -> None:
    """Nobody would ever look into it: a backlog is found by its spool."""
    with pytest.raises(BacklogError):
        retry_dead_letters(path, [1])

    assert list(dead_letters(path)) == []
    assert list(path.parent.iterdir()) == []


def test_nothing_is_lost_or_doubled_while_dead_letters_are_put_back_and_reports_come_and_go(
    backlog: Backlog, path: Path
) -> None:
    backlog.append([], [letter(report(number)) for number in range(40)])
    taken: list[bytes] = []

    def put_back() -> None:
        for id_ in range(1, 41):
            done = 0
            while not done:
                with suppress(BacklogError):  # the file is busy all the time, and whose turn it is is left to chance
                    done = retry_dead_letters(path, [id_])

    putting_back = threading.Thread(target=put_back)

    putting_back.start()
    number = 40
    while putting_back.is_alive() or backlog.counts().pending:
        if putting_back.is_alive():
            last = backlog.append([report(number), report(number + 1)])
            assert items(backlog.take(2, after=last - 2)) == items([report(number), report(number + 1)])
            number += 2
        rows = backlog.take(5)
        backlog.acknowledge([row.id for row in rows])
        taken += items(rows)
    putting_back.join()

    assert sorted(taken) == sorted(report(each).item for each in range(number))


def test_a_file_that_somebody_else_keeps_busy_is_an_error_and_what_is_in_it_stays(
    backlog: Backlog, path: Path, tmp_path: Path
) -> None:
    backlog.append([report(1)])
    other = Backlog(tmp_path / "two.db", MOST)
    other.append([report(2)])
    with child("occupy", path) as somebody:
        assert somebody.hear() == "busy"

        with pytest.raises(BacklogError, match="locked"):
            backlog.append([report(3)])
        with pytest.raises(BacklogError, match="locked"):
            backlog.acknowledge([1])
        with pytest.raises(BacklogError, match="locked"):
            backlog.take_over(other.path)
        assert everything(backlog) == [report(1).item]
        somebody.tell()
        assert somebody.end() == 0

    assert backlog.take_over(other.path) == (1, False)
    assert everything(backlog) == items([report(1), report(2)])
    other.close()


def test_everything_comes_from_the_file_of_another_process_and_stays_there(backlog: Backlog, tmp_path: Path) -> None:
    other = Backlog(tmp_path / "two.db", MOST)
    rows = [report(number) for number in range(500)]
    other.append(rows, [letter(report(-1))])
    backlog.append([report(-2)])

    assert backlog.take_over(other.path) == (500, False)

    assert everything(backlog) == [report(-2).item, *items(rows)]
    assert backlog.counts().dead == 1
    assert other.counts() == Counts(500, 1, rows[0].recorded)
    other.close()


@pytest.mark.parametrize("tables", ["", "CREATE TABLE pending (id INTEGER)"])
def test_nothing_comes_from_a_file_whose_process_was_killed_while_it_made_it(
    backlog: Backlog, tmp_path: Path, tables: str
) -> None:
    unfinished = tmp_path / "two.db"
    unfinished.touch()
    with closing(sqlite3.connect(unfinished)) as connection:
        connection.executescript(tables)

    assert backlog.take_over(unfinished) == (0, False)
    assert Backlog(unfinished, MOST).close() is bool(tables)


@pytest.mark.parametrize("name", ["missing/one.db", "."])
def test_a_place_where_no_file_can_be_is_an_error(tmp_path: Path, name: str) -> None:
    with pytest.raises(BacklogError):
        Backlog(tmp_path / name, MOST)
