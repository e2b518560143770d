"""What `stats()` says of reports that wait is true at any moment, after an adoption and after a fork, too."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from itertools import count
from pathlib import Path
from threading import Event, Thread
from time import time
from typing import Any

import pytest

from payi_middleware import Settings, flush, instrument, recorder
from payi_middleware.delivery import stock
from tests.delivery.backlogged import call
from tests.delivery.counting import Counting, counting_server
from tests.delivery.ingest_server import PAYI_KEY
from tests.delivery.lying import let_lie
from tests.waiting import until

HOUR = 3600


@pytest.fixture
def counting() -> Iterator[Counting]:
    with counting_server() as server:
        yield server


@pytest.fixture
def counted(counting: Counting, tmp_path: Path) -> Settings:
    return Settings(base_url=counting.url, api_key=PAYI_KEY, journal=tmp_path / "journal", shutdown_timeout=0.2)


@pytest.mark.usefixtures("short_pauses")
def test_no_report_is_overlooked_or_counted_twice_while_it_moves_from_thread_to_thread_and_to_the_disk(
    counting: Counting, counted: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stock, "_SPILL_FAILING", 5)
    counting.down = True
    meter = instrument(counted)
    ended = Event()
    made = [0, 0]

    def make() -> None:
        for number in range(3000):
            made[0] += 1
            call(number)
            made[1] += 1
        ended.set()

    maker = Thread(target=make)
    maker.start()
    wrong = []
    while not ended.is_set():
        least = made[1]
        queued = meter.stats()["queued"]
        if not least <= queued <= made[0]:
            wrong.append((least, queued, made[0]))
    maker.join()
    assert wrong == []
    assert meter.stats()["queued"] == 3000
    counting.down = False
    assert flush(60)
    assert (meter.stats()["queued"], meter.stats()["delivered"]) == (0, 3000)


def test_a_call_whose_result_nobody_waits_for_grows_older_before_it_is_read(
    counted: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    let_lie(monkeypatch)
    meter = instrument(counted)
    call(0)
    until(lambda: meter.stats()["oldest_age"] > 0)
    before = meter.stats()
    until(lambda: meter.stats()["oldest_age"] > before["oldest_age"])
    assert before["queued"] == 1


def test_a_report_that_is_just_being_made_counts_as_waiting_and_grows_older(counted: Settings) -> None:
    entered, opened = Event(), Event()

    def held(item: dict[str, Any]) -> dict[str, Any]:
        entered.set()
        assert opened.wait(30)
        return item

    meter = instrument(counted.model_copy(update={"redact": held}))
    call(0)
    assert entered.wait(30)
    before = meter.stats()
    after = meter.stats()
    assert (before["queued"], after["queued"]) == (1, 1)
    assert 0 < before["oldest_age"] < after["oldest_age"]
    opened.set()
    assert flush(30)
    assert (meter.stats()["queued"], meter.stats()["oldest_age"]) == (0, None)


_LEFT = """
import json, os, signal, sys, time
from payi_middleware import Settings, instrument, recorder
from tests.delivery.backlogged import call

recorder.time_ns = lambda: time.time_ns() - 3600 * 10**9
instrument(Settings(**json.loads(sys.argv[1])))
for number in range(3):
    call(number)
os.kill(os.getpid(), signal.SIGKILL)
"""


def _run(script: str, settings: Settings) -> subprocess.CompletedProcess[str]:
    told = {"base_url": settings.base_url, "api_key": PAYI_KEY, "journal": str(settings.journal)}
    return subprocess.run(
        [sys.executable, "-c", script, json.dumps(told)],
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@pytest.mark.usefixtures("short_pauses")
def test_what_was_adopted_is_as_old_as_it_was(counting: Counting, counted: Settings) -> None:
    counting.down = True
    assert _run(_LEFT, counted).returncode == -9
    meter = instrument(counted)
    meter.open()
    until(lambda: meter.stats()["adopted"] == 3)
    until(lambda: meter.stats()["queued"] == 3)
    assert HOUR - 1 < meter.stats()["oldest_age"] < HOUR + 60
    call(3)
    assert meter.stats()["queued"] == 4
    assert meter.stats()["oldest_age"] > HOUR - 1
    counting.down = False
    assert flush(30)
    assert (meter.stats()["queued"], meter.stats()["oldest_age"], meter.stats()["delivered"]) == (0, None, 4)


_FORKED = """
import json, os, sys
import payi_middleware as payi
from tests.delivery.backlogged import call

meter = payi.instrument(payi.Settings(**json.loads(sys.argv[1]), shutdown_timeout=0))
for number in range(3):
    call(number)
pid = os.fork()
if not pid:
    first = meter.stats()
    try:
        payi.ingest(category="system.openai", resource="gpt-4o-mini", units={"text": {"input": 1, "output": 1}})
    except payi.IngestError:
        pass
    second = meter.stats()
    call(4)
    print(json.dumps([[each["queued"], each["retried"], each["oldest_age"]] for each in (first, second)]
                     + [meter.stats()["queued"]]), flush=True)
    os._exit(0)
os.waitpid(pid, 0)
print(meter.stats()["queued"], meter.stats()["oldest_age"] > 0)
"""


def test_the_child_of_a_fork_counts_its_own_and_the_parent_goes_on_counting(
    counting: Counting, counted: Settings
) -> None:
    counting.down = True
    done = _run(_FORKED, counted)
    assert done.returncode == 0, done.stderr
    child, parent = done.stdout.splitlines()
    assert json.loads(child) == [[0, 0, None], [0, 0, None], 1]
    assert parent == "3 True"


@pytest.mark.usefixtures("short_pauses")
def test_a_clock_that_is_set_back_holds_up_no_report(
    counting: Counting, counted: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = count(int(time()) + 10 * HOUR, -HOUR)
    monkeypatch.setattr(recorder, "time_ns", lambda: next(clock) * 10**9)
    meter = instrument(counted.model_copy(update={"headers": "off"}))
    for number in range(3):
        call(number)
        until(lambda: len(counting.ids) == number + 1)  # noqa: B023 - it is called at once
    assert meter.stats()["oldest_age"] in (None, 0.0)
