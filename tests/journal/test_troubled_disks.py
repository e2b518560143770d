"""A journal that cannot be, is damaged or has too much in it costs no call and no exception."""

from __future__ import annotations

import logging
import sqlite3
from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from payi_middleware import Settings, flush, instrument
from payi_middleware.delivery import dispatcher, pacing
from payi_middleware.meter import Meter
from tests.delivery.backlogged import absorb, call
from tests.delivery.counting import Counting, counting_server
from tests.delivery.ingest_server import PAYI_KEY
from tests.delivery.left import databases, stored
from tests.waiting import until


@pytest.fixture
def counting(monkeypatch: pytest.MonkeyPatch) -> Iterator[Counting]:
    monkeypatch.setattr(pacing, "LONGEST_PAUSE", 0.02)
    with counting_server() as server:
        yield server


def _settings(counting: Counting, journal: Path, **more: int) -> Settings:
    return Settings(base_url=counting.url, api_key=PAYI_KEY, journal=journal, shutdown_timeout=0.1, **more)


def _calls(meter: Meter, count: int) -> list[str]:
    for number in range(count):
        call(number)
        if not number % 100:
            absorb(meter)
    return [f"chatcmpl-{number:08d}" for number in range(count)]


def _lines(caplog: pytest.LogCaptureFixture) -> list[str]:
    records = [record for record in caplog.records if record.name.startswith("payi_middleware")]
    assert [record.exc_info for record in records if record.exc_info] == []
    assert [record for record in records if record.levelno > logging.WARNING] == []
    return [record.getMessage() for record in records]


@pytest.mark.parametrize("place", ["file", "proc"])
def test_where_no_journal_can_be_reports_wait_in_memory_and_it_is_said_once(
    counting: Counting, tmp_path: Path, caplog: pytest.LogCaptureFixture, place: str
) -> None:
    (tmp_path / "file").touch()
    journal = tmp_path / "file" / "journal" if place == "file" else Path("/proc/payi-journal")
    meter = instrument(_settings(counting, journal))
    asked = _calls(meter, 200)
    assert flush(30)
    assert Counter(counting.ids) == Counter(asked)
    (line,) = _lines(caplog)
    assert "kept in memory only" in line
    assert "PAYI_JOURNAL" in line


def test_a_backlog_that_is_overwritten_while_its_process_uses_it_stops_nothing(
    counting: Counting, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    counting.down = True
    settings = _settings(counting, tmp_path / "journal")
    meter = instrument(settings)
    _calls(meter, 1_000)
    until(lambda: stored(settings) > 500)
    (database,) = databases(settings)
    with closing(sqlite3.connect(database, timeout=10)) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
    size = database.stat().st_size
    with database.open("r+b") as file:
        file.seek(4096)
        file.write(b"\xff" * (size - 4096))
    counting.down = False
    for number in range(10_000, 10_100):
        call(number)
    until(lambda: {f"chatcmpl-{number:08d}" for number in range(10_000, 10_100)} <= set(counting.ids))
    assert set(Counter(counting.ids).values()) == {1}
    assert any("journal" in line.lower() for line in _lines(caplog))


def test_reports_that_take_more_room_than_they_may_are_given_up_the_oldest_first_and_counted(
    counting: Counting, tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dispatcher, "_ADOPTION", 0.05)
    counting.down = True
    meter = instrument(_settings(counting, tmp_path / "journal", journal_max_bytes=1 << 20))
    asked = _calls(meter, 4_000)
    until(lambda: meter.stats()["dropped"] > 500 and not meter._delivery._inbox.qsize())  # all are where they wait
    counting.down = False
    assert flush(60)
    dropped = meter.stats()["dropped"]
    assert len(counting.ids) + dropped == len(asked)  # what is just being tried is not given up
    assert set(Counter(counting.ids).values()) == {1}
    gone = sorted(set(asked) - set(counting.ids))
    assert gone[-1] < asked[dropped + 500]  # a batch of the oldest was just being tried
    assert any("The journal is full" in line for line in _lines(caplog))
