"""Parents and children deliver what they have done themselves, each report once."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from payi_middleware.demo.provider import Provider
from tests.delivery.ingest_server import Ingest
from tests.doors.asgi_server import run_python
from tests.lifecycle.company import Stage, asked_of, assert_booked_once, booked, let_arrive, sent_ids
from tests.redis_server import REDIS_URL, need_redis


@pytest.fixture
def slow(settings: dict[str, Any]) -> dict[str, Any]:
    """Settings with which a report is still pending when the process that made it has nothing more to do."""
    return {**settings, "pause": 0.1}


def assert_each_sent_once(ingest: Ingest, ids: list[str]) -> None:
    assert Counter(sent_ids(ingest)) == Counter(ids)
    assert {record.provider_response_id for record in ingest.ledger.requests()} == set(ids)


@pytest.mark.parametrize("headers", ["summary", "off"])
@pytest.mark.parametrize(
    ("play", "calls"), [("child_flushes", 4), ("parent_has_reports_pending", 4), ("fork_in_a_stream", 2)]
)
def test_a_forked_child_and_its_parent_deliver_their_own(
    theatre: Stage, ingest: Ingest, settings: dict[str, Any], play: str, calls: int, headers: str
) -> None:
    told = theatre.play(f"forking:{play}", settings={**settings, "headers": headers}).told
    assert len(told) == calls
    assert_each_sent_once(ingest, told)


def test_a_stream_that_a_child_let_go_of_is_reported_with_all_that_the_parent_read(
    theatre: Stage, remote_ledger: Path, settings: dict[str, Any]
) -> None:
    streamed = theatre.play("forking:fork_in_a_stream", settings=settings).told[-1]
    (report,) = [record for record in booked(remote_ledger) if record.provider_response_id == streamed]
    assert report.output_tokens > 0
    assert "system.stream" not in report.properties


def test_what_children_that_end_at_once_have_left_is_delivered_by_the_next_process(
    theatre: Stage, provider: Provider, remote_ledger: Path, settings: dict[str, Any]
) -> None:
    told = theatre.play("forking:children_just_end", settings=settings).told
    assert len(told) == 4
    theatre.adopt(settings)
    assert_booked_once(remote_ledger, {None: told}, asked_of(provider))


def test_what_children_could_not_deliver_is_adopted_by_the_next_and_sent_once(
    theatre: Stage, ingest: Ingest, settings: dict[str, Any]
) -> None:
    ingest.mode = 503
    told = theatre.play("forking:children_just_end", settings={**settings, "shutdown_timeout": 0.1}).told
    let_arrive(ingest)
    ingest.mode = "ok"
    ingest.received.clear()
    theatre.adopt(settings)
    assert_each_sent_once(ingest, told)


@pytest.mark.parametrize(("method", "number"), [("fork", 3), ("spawn", 1), ("forkserver", 1)])
def test_processes_of_multiprocessing_report_before_they_end(
    theatre: Stage, ingest: Ingest, slow: dict[str, Any], method: str, number: int
) -> None:
    told = theatre.play("forking:processes", settings=slow, method=method, number=number).told
    assert len(told) == 1 + number
    assert_each_sent_once(ingest, told)


def test_processes_of_an_executor_report_before_they_end(theatre: Stage, ingest: Ingest, slow: dict[str, Any]) -> None:
    told = theatre.play("forking:executor", settings=slow).told
    assert len(told) == 4
    assert_each_sent_once(ingest, told)


def test_workers_of_a_pool_report_before_they_are_replaced_or_joined(
    theatre: Stage, ingest: Ingest, slow: dict[str, Any]
) -> None:
    told = theatre.play("forking:pool", settings=slow, terminate=False).told
    assert len(told) == 6
    assert_each_sent_once(ingest, told)


def test_what_terminated_workers_of_a_pool_have_left_is_delivered_by_the_next_process(
    theatre: Stage, provider: Provider, remote_ledger: Path, slow: dict[str, Any]
) -> None:
    told = theatre.play("forking:pool", settings=slow, terminate=True).told
    theatre.adopt(slow)
    assert_booked_once(remote_ledger, {None: told}, asked_of(provider))


@pytest.mark.parametrize(("play", "calls"), [("parent_closes_first", 3), ("fork_in_a_transaction", 2)])
def test_a_parent_and_its_child_book_in_the_same_ledger(
    theatre: Stage, provider: Provider, ledger_path: Path, journal: Path, play: str, calls: int
) -> None:
    told = theatre.play(f"forking:{play}", settings={"ledger": str(ledger_path), "journal": str(journal)}).told
    assert len(told) == calls
    assert_booked_once(ledger_path, {None: told}, asked_of(provider))


_FORK_WHILE_LOADING = """
import importlib, os, signal, sys, threading
import httpx
import payi_middleware as payi

begun, may_go_on = threading.Event(), threading.Event()

class Slow:
    "An import that takes its time in a thread of ours."
    def find_spec(self, name, path=None, target=None):
        if threading.current_thread().name.startswith("payi-") and not begun.is_set():
            begun.name = name
            begun.set()
            may_go_on.wait(30)

payi.instrument(payi.Settings(ledger={ledger!r}))
sys.meta_path.insert(0, Slow())
os.register_at_fork(before=may_go_on.set)  # which comes first, as the last that was registered
call = dict(model="gpt-4o-mini", messages=[dict(role="user", content="Hi")])
with httpx.Client() as client:
    client.post({url!r}, json=call)
assert begun.wait(30)
pid = os.fork()
if not pid:
    signal.alarm(20)
    importlib.import_module(begun.name)
    with httpx.Client() as client:
        client.post({url!r}, json=call)
    os._exit(0 if payi.flush(15) else 1)
assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
"""


def test_a_child_that_is_forked_while_a_thread_of_ours_loads_something_can_load_it_too(
    provider: Provider, ledger_path: Path, tmp_path: Path
) -> None:
    script = _FORK_WHILE_LOADING.format(ledger=str(ledger_path), url=f"{provider.openai_url}/chat/completions")
    done = run_python(tmp_path, "-c", script)
    assert (done.returncode, done.stderr) == (0, "")
    assert {record.provider_response_id for record in booked(ledger_path)} == set(asked_of(provider))


_WATCH_LOADING = """
import json, sys, threading, warnings
import httpx
import payi_middleware as payi
from payi_middleware.forks import uncut

unguarded = []

class Watch:
    "Sees every import that a fork would not wait for."
    def find_spec(self, name, path=None, target=None):
        thread = threading.current_thread()
        if thread.name.startswith("payi-") and not uncut._depths.get(thread.ident):
            unguarded.append(f"{{name}} in {{thread.name}}")

payi.instrument(payi.Settings(**json.loads({settings!r})))
sys.meta_path.insert(0, Watch())
call = dict(model="gpt-4o-mini", messages=[dict(role="user", content="Hi")])
with httpx.Client() as client:
    for limit_ids in ([], ["budget"]):
        with payi.track_context(limit_ids=limit_ids):
            for stream in (False, True):
                client.post({url!r}, json={{**call, "stream": stream}})
            client.post({url!r}, content=b"{{")
assert payi.flush(30)
payi.meter.close_all()
print(json.dumps(unguarded))
"""


@pytest.mark.parametrize("to", ["ledger", "service", "service and redis"])
def test_a_fork_waits_for_whatever_a_thread_of_ours_loads(
    to: str, provider: Provider, ledger_path: Path, settings: dict[str, Any], tmp_path: Path
) -> None:
    told = {"ledger": str(ledger_path)} if to == "ledger" else settings
    if to.endswith("redis"):
        need_redis()
        told = {**told, "redis_url": REDIS_URL}
    script = _WATCH_LOADING.format(settings=json.dumps(told), url=f"{provider.openai_url}/chat/completions")
    done = run_python(tmp_path, "-c", script)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == []
