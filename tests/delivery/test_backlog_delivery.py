"""An outage of an hour: it costs little memory and no report, and everything is told as it is."""

from __future__ import annotations

import json
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path
from threading import Event
from typing import IO, Any

import openai
import pytest

from payi_middleware import IngestError, IngestTimeoutError, Settings, flush, instrument, result_of
from payi_middleware.delivery import dispatcher, stock
from payi_middleware.demo.provider import Provider
from payi_middleware.meter import Meter
from tests.delivery.backlogged import call
from tests.delivery.counting import Counting, counting_server
from tests.delivery.ingest_server import PAYI_KEY, Ingest
from tests.delivery.left import stored
from tests.transport.calling import KEY, MESSAGES
from tests.waiting import until

MANY = 40_000
"""Calls in the long outage; `benchmarks/outage.py` makes those of an hour."""
_GROWTH = 30.0
"""Megabytes of memory that it may cost."""


@pytest.fixture
def counting() -> Iterator[Counting]:
    with counting_server() as server:
        yield server


@pytest.fixture
def counted(counting: Counting, tmp_path: Path) -> Settings:
    return Settings(base_url=counting.url, api_key=PAYI_KEY, journal=tmp_path / "journal", shutdown_timeout=0.2)


@pytest.fixture
def spilling(monkeypatch: pytest.MonkeyPatch) -> None:
    """Reports go to the journal as soon as the sink fails, and not after the 200th."""
    monkeypatch.setattr(stock, "_SPILL_FAILING", 0)


def _calls(provider: Provider, count: int) -> list[Any]:
    with openai.OpenAI(base_url=provider.openai_url, api_key=KEY, max_retries=0) as client:
        return [client.chat.completions.create(model="gpt-4o-mini", messages=MESSAGES) for _ in range(count)]


def _ids(first: int, count: int) -> list[str]:
    return [f"chatcmpl-{number:08d}" for number in range(first, first + count)]


class _App:
    """The app of `tests.delivery.backlogged`."""

    def __init__(self, lines: IO[str], answers: IO[str]) -> None:
        self._lines = lines
        self._answers = answers
        self.started = self.heard()

    def ask(self, order: str) -> dict[str, Any]:
        self._lines.write(order + "\n")
        self._lines.flush()
        return self.heard()

    def heard(self) -> dict[str, Any]:
        answer: dict[str, Any] = json.loads(self._answers.readline())
        return answer


@contextmanager
def _app(**settings: Any) -> Iterator[_App]:
    command = [sys.executable, "-m", "tests.delivery.backlogged", json.dumps(settings)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            yield _App(process.stdin, process.stdout)
        finally:
            process.stdin.close()
            process.wait(60)


@pytest.mark.parametrize("headers", ["off", "summary"])
def test_a_long_outage_costs_little_memory_little_work_and_no_report(
    counting: Counting, tmp_path: Path, headers: str
) -> None:
    settings = {"base_url": counting.url, "journal": str(tmp_path / "journal"), "headers": headers}
    many = MANY if headers == "off" else MANY // 10
    with _app(**settings, shutdown_timeout=5.0) as app:
        before = app.ask("calls 0 2000")
        assert app.ask("flush 60")["flushed"]
        counting.down = True
        down = app.ask(f"calls 2000 {many}")
        assert not app.ask("flush 0.1")["flushed"]
        idle = app.ask("stats")
        refused = counting.refused
        Event().wait(1.0)
        still = app.ask("stats")
        assert still["cpu"] - idle["cpu"] < 0.5
        assert counting.refused - refused < 20
        assert (still["delivered"], still["dropped"], still["queued"]) == (2000, 0, many)
        assert still["oldest_age"] > 1.0
        assert not still["available"]
        counting.down = False
        after = app.ask("flush 240")
        assert after["flushed"]
        assert (after["delivered"], after["dropped"], after["refused"]) == (2000 + many, 0, 0)
        assert (after["queued"], after["oldest_age"], after["available"]) == (0, None, True)
        for told in (down, still, after):
            assert told["resident"] - before["resident"] < _GROWTH
    assert Counter(counting.ids) == Counter(_ids(0, 2000 + many))
    _assert_oldest_first(counting, 2000, many)


def _assert_oldest_first(counting: Counting, first: int, count: int) -> None:
    """What was stored comes in its order, but for the few that were tried, and failed, in the outage."""
    stored = [int(id_.rpartition("-")[2]) for batch in counting.batches if len(batch) > 1 for id_ in batch]
    stored = [number for number in stored if first <= number < first + count - 1000]
    assert len(stored) > count / 2
    back = [(before, after) for before, after in pairwise(stored) if after < before]
    assert len(back) < 50, back


# --- what is told of it ---------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("short_pauses")
def test_an_outage_is_told_as_it_is_at_each_stage(
    counting: Counting, counted: Settings, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", "payi_middleware")
    meter = instrument(counted)
    assert meter.stats() == {
        "queued": 0, "delivered": 0, "retried": 0, "refused": 0, "dropped": 0, "adopted": 0, "oldest_age": None,
        "last_error": None, "blocked": 0, "estimated": 0, "estimate_error": None,
    }  # fmt: skip
    call(0)
    assert flush(30)
    counting.down = True
    for number in range(1, 1001):
        call(number)
    until(lambda: meter.stats()["retried"] > 0 and stored(counted) > 700)
    down = meter.stats()
    assert (down["queued"], down["delivered"], down["dropped"], down["refused"]) == (1000, 1, 0, 0)
    assert (down["last_error"], meter.available) == ("HTTP 503 unknown_error", False)
    assert not flush(0.3)
    assert meter.stats()["oldest_age"] > down["oldest_age"] > 0
    counting.down = False
    assert flush(60)
    up = meter.stats()
    assert (up["queued"], up["delivered"], up["oldest_age"], stored(counted)) == (0, 1001, None, 0)
    assert meter.available
    assert Counter(counting.ids) == Counter(_ids(0, 1001))
    assert [record.getMessage() for record in caplog.records if record.name == "payi_middleware"] == [
        "Reports cannot be delivered at present: HTTP 503 unknown_error",
        "Reports are delivered again",
    ]


@pytest.mark.usefixtures("short_pauses")
def test_a_service_that_comes_and_goes_does_not_fill_the_log(
    counting: Counting, counted: Settings, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", "payi_middleware")
    meter = instrument(counted)
    for number in range(10):
        counting.down = True
        call(number)
        until(lambda: not meter.available)
        counting.down = False
        assert flush(30)
        until(lambda: meter.available)
    lines = [record.getMessage() for record in caplog.records if record.name == "payi_middleware"]
    assert lines == [
        "Reports cannot be delivered at present: HTTP 503 unknown_error",
        "Reports are delivered again",
    ]


def test_nothing_fails_and_nothing_is_told_where_nothing_was_called(
    counting: Counting, counted: Settings, caplog: pytest.LogCaptureFixture
) -> None:
    counting.down = True
    meter = instrument(counted)
    assert flush(0)
    assert meter.available
    assert (caplog.records, counting.refused) == ([], 0)


# --- who waits ------------------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("short_pauses", "spilling")
@pytest.mark.parametrize("tells_results", [True, False])
@pytest.mark.parametrize("headers", ["summary", "off"])
def test_a_call_whose_report_was_stored_gets_its_result_when_that_is_delivered(
    ingest: Ingest, remote: Settings, provider: Provider, headers: Any, tells_results: bool
) -> None:
    settings = remote.model_copy(update={"headers": headers})
    instrument(settings)
    ingest.mode, ingest.tells_results = 503, tells_results
    answers = _calls(provider, 12)
    until(lambda: stored(settings) == 12)
    with pytest.raises(IngestTimeoutError):
        result_of(answers[0], timeout=0.1)
    ingest.mode = "ok"
    results = [result_of(answer, timeout=30) for answer in answers]
    assert flush(30)
    booked = {request.provider_response_id: request.request_id for request in ingest.ledger.requests()}
    assert [result.request_id for result in results] == [booked[answer.id] for answer in answers]


@pytest.mark.usefixtures("short_pauses", "spilling")
def test_a_flush_says_false_in_an_outage_and_true_after_it(
    ingest: Ingest, remote: Settings, provider: Provider
) -> None:
    meter = instrument(remote)
    ingest.mode = 503
    _calls(provider, 5)
    until(lambda: stored(remote) == 5)
    for seconds in (0, 0.05, 0.3):
        assert not flush(seconds)
    ingest.mode = "ok"
    assert flush(30)
    assert (meter.stats()["delivered"], stored(remote)) == (5, 0)
    assert flush(5)


@pytest.mark.usefixtures("short_pauses", "spilling")
def test_flushes_that_nobody_waits_for_any_more_are_forgotten(counting: Counting, counted: Settings) -> None:
    meter = instrument(counted)
    counting.down = True
    for number in range(20):
        call(number)
    until(lambda: stored(counted) == 20)
    for _ in range(300):
        assert not meter.flush(0)
    dispatcher = meter._delivery._dispatcher
    assert dispatcher is not None
    until(lambda: not dispatcher.stock.awaited)
    counting.down = False
    assert flush(30)


class _Gate:
    """A `redact` that holds the dispatching thread until it is opened."""

    def __init__(self) -> None:
        self.entered = Event()
        self.opened = Event()

    def __call__(self, item: dict[str, Any]) -> dict[str, Any]:
        self.entered.set()
        assert self.opened.wait(30)
        return item


@pytest.mark.parametrize("journal", [True, False])
def test_a_flush_is_not_done_because_the_queue_was_full(counting: Counting, counted: Settings, journal: bool) -> None:
    gate = _Gate()
    update = {"queue_size": 2, "redact": gate} | ({} if journal else {"journal": "off"})
    meter = instrument(counted.model_copy(update=update))
    call(0)
    assert gate.entered.wait(10)
    assert not meter.flush(0)
    for number in range(1, 8):
        call(number)
        assert not meter.flush(0)
    gate.opened.set()
    assert flush(30)
    assert meter.stats()["delivered"] + meter.stats()["dropped"] == 8
    assert "chatcmpl-00000000" in counting.ids


# --- without a journal ----------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("short_pauses")
@pytest.mark.parametrize("size", [5, 50, 300])
def test_without_a_journal_the_newest_wait_in_memory_and_the_others_are_counted(
    counting: Counting, counted: Settings, size: int
) -> None:
    meter = instrument(counted.model_copy(update={"journal": "off", "queue_size": size}))
    counting.down = True
    for number in range(1000):
        call(number)
        assert meter.stats()["queued"] <= 4 * size + 200  # in the queue, read, and under way in two bulks
    until(lambda: meter.stats()["queued"] <= size + 1)
    assert meter.stats()["dropped"] >= 1000 - size - 1
    assert meter.stats()["delivered"] == 0
    counting.down = False
    assert flush(30)
    stats = meter.stats()
    assert stats["delivered"] + stats["dropped"] == 1000
    assert len(set(counting.ids)) == len(counting.ids) == stats["delivered"] >= 1
    assert _ids(999, 1)[0] in counting.ids


@pytest.mark.usefixtures("short_pauses")
def test_without_a_journal_a_call_that_is_given_up_is_told_so(
    ingest: Ingest, remote: Settings, provider: Provider
) -> None:
    instrument(remote.model_copy(update={"journal": "off", "queue_size": 3}))
    ingest.mode = 503
    answers = _calls(provider, 30)
    with pytest.raises(IngestError, match="full"):
        result_of(answers[1], timeout=30)
    ingest.mode = "ok"
    assert result_of(answers[-1], timeout=30).request_id


# --- a service that cannot take so much at once ---------------------------------------------------------------------


def _spilled(meter: Meter, counting: Counting, settings: Settings, count: int) -> None:
    counting.down = True
    for number in range(count):
        call(number)
    until(lambda: stored(settings) == count)
    counting.down = False


@pytest.mark.usefixtures("short_pauses", "spilling")
@pytest.mark.parametrize("most", [1, 40])
@pytest.mark.parametrize("how", ["closes", "hangs"])
def test_a_service_that_breaks_at_large_bulks_gets_smaller_ones(
    counting: Counting, counted: Settings, most: int, how: str
) -> None:
    settings = counted.model_copy(update={"ingest_timeout": 10.0 if how == "closes" else 1.0})
    meter = instrument(settings)
    ended = Event()
    _spilled(meter, counting, settings, 300)
    counting.takes = _takes(most, ended if how == "hangs" else None)
    try:
        assert flush(120)
    finally:
        ended.set()
    assert Counter(counting.ids) == Counter(_ids(0, 300))
    assert max(map(len, counting.batches)) <= most
    assert (meter.stats()["delivered"], meter.stats()["refused"]) == (300, 0)


def _takes(most: int, held_until: Event | None) -> Callable[[int], bool]:
    def takes(count: int) -> bool:
        if count > most and held_until is not None:
            held_until.wait(60)
        return count <= most

    return takes


@pytest.mark.parametrize("tells_results", [True, False])
def test_reports_that_nobody_waits_for_go_together(
    ingest: Ingest, remote: Settings, provider: Provider, monkeypatch: pytest.MonkeyPatch, tells_results: bool
) -> None:
    monkeypatch.setattr(dispatcher, "_LINGER", 3600.0)
    ingest.tells_results = tells_results
    instrument(remote.model_copy(update={"headers": "off"}))
    with openai.OpenAI(base_url=provider.openai_url, api_key=KEY) as client:
        for count in (1, 2, 5):  # the first ones go singly, until the service is known
            ingest.received.clear()
            for _ in range(count):
                client.chat.completions.create(model="gpt-4o-mini", messages=MESSAGES)
            assert flush(30)

    (request,) = ingest.received
    assert len(request.body) == 5
