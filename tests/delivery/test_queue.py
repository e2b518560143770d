"""The queue is bounded, `flush()` is honest, and the end of the process delivers what is left."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from threading import Event, Thread
from threading import enumerate as enumerate_threads
from typing import Any

import openai
import pytest
from opentelemetry.context import get_current

from payi_middleware import IngestError, Settings, flush, get_context, instrument, result_of, track_context
from payi_middleware import meter as meter_module
from payi_middleware.context import current_frame
from payi_middleware.demo.provider import Provider
from payi_middleware.destinations import open_sink
from payi_middleware.service.ledger import Ledger
from tests.delivery.ingest_server import PAYI_KEY, Ingest
from tests.transport.calling import KEY, MESSAGES, only_report, reports


def _calls(provider: Provider, count: int) -> list[Any]:
    with openai.OpenAI(base_url=provider.openai_url, api_key=KEY) as client:
        return [client.chat.completions.create(model="gpt-4o-mini", messages=MESSAGES) for _ in range(count)]


class _Gate:
    """A `redact` that holds the delivering thread until it is opened."""

    def __init__(self) -> None:
        self.entered = Event()
        self.opened = Event()

    def __call__(self, item: dict[str, Any]) -> dict[str, Any]:
        self.entered.set()
        assert self.opened.wait(30)
        return item


@pytest.mark.parametrize("bound", ["queue_size", "queue_bytes"])
def test_a_full_queue_drops_the_oldest_counts_it_and_settles_its_call(
    provider: Provider, ledger_path: Path, bound: str
) -> None:
    gate = _Gate()
    limits: dict[str, Any] = {"queue_size": 2} if bound == "queue_size" else {"queue_bytes": 2300, "journal": "off"}
    meter = instrument(Settings(ledger=ledger_path, redact=gate, **limits))
    under_way = _calls(provider, 1)[0]
    assert gate.entered.wait(10)
    answers = _calls(provider, 5)
    dropped = meter.stats()["dropped"]
    assert 0 < dropped < 5
    for answer in answers[:dropped]:
        with pytest.raises(IngestError, match="queue"):
            result_of(answer, timeout=0)
    gate.opened.set()
    kept = [under_way.id, *(answer.id for answer in answers[dropped:])]
    assert [report.provider_response_id for report in reports(ledger_path)] == kept
    assert bound == "queue_bytes" or dropped == 3


def test_streams_that_are_closed_early_are_bounded_too(provider: Provider, ledger_path: Path) -> None:
    gate = _Gate()
    meter = instrument(Settings(ledger=ledger_path, redact=gate, queue_size=2))
    with openai.OpenAI(base_url=provider.openai_url, api_key=KEY) as client:
        for _ in range(10):
            with client.chat.completions.create(model="gpt-4o-mini", messages=MESSAGES, stream=True) as stream:
                next(stream)
            assert gate.entered.wait(10)
            assert meter.stats()["queued"] <= 4
        gate.opened.set()
    assert meter.stats()["dropped"] >= 6
    assert len(reports(ledger_path)) + meter.stats()["dropped"] == 10


def test_flush_says_false_until_everything_is_delivered(provider: Provider, ledger_path: Path) -> None:
    gate = _Gate()
    meter = instrument(Settings(ledger=ledger_path, redact=gate))
    assert flush(0)
    _calls(provider, 3)
    assert gate.entered.wait(10)
    assert not flush(0)
    assert not meter.flush(0.01)
    gate.opened.set()
    assert flush(10)
    assert len(reports(ledger_path)) == 3
    assert flush(0.5)


def test_a_flush_covers_what_several_threads_deliver(ingest: Ingest, remote: Settings, provider: Provider) -> None:
    instrument(remote)
    threads = [Thread(target=_calls, args=(provider, 5)) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert flush(10)
    assert {request.provider_response_id for request in ingest.ledger.requests(limit=100)} == {
        request.response_id for request in provider.requests
    }


@pytest.mark.usefixtures("short_pauses")
def test_without_a_journal_close_gives_up_what_cannot_be_delivered_and_a_later_call_is_delivered_again(
    ingest: Ingest, remote: Settings, provider: Provider
) -> None:
    meter = instrument(remote.model_copy(update={"ingest_timeout": 0.2, "journal": "off"}))
    ingest.mode = 503
    answers = _calls(provider, 4)
    assert not meter.close(0.2)
    for answer in answers:
        with pytest.raises(IngestError):
            result_of(answer, timeout=10)
    assert meter.stats()["dropped"] == 4
    ingest.mode = "ok"
    (late,) = _calls(provider, 1)
    assert flush(10)
    booked = {request.provider_response_id for request in ingest.ledger.requests()}
    assert late.id in booked  # and of the others those that were being sent when it was closed, at most


_SCRIPT = """
import openai, payi_middleware as payi
payi.instrument(payi.Settings({settings}))
client = openai.OpenAI(base_url={url!r}, api_key="key")
with payi.track_context(user_id="alice"):
    answer = client.chat.completions.create(model="gpt-4o-mini", messages=[{{"role": "user", "content": "hi"}}]{more})
{after}
"""


def _run(provider: Provider, settings: str, more: str = "", after: str = "") -> None:
    script = _SCRIPT.format(settings=settings, url=provider.openai_url, more=more, after=after)
    outcome = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=False)
    assert (outcome.returncode, outcome.stderr) == (0, "")


@pytest.mark.parametrize(
    ("more", "after"),
    [("", ""), (", stream=True", "list(answer)"), ("", "raise SystemExit(0)")],
)
def test_the_end_of_a_script_delivers_to_the_ledger(
    provider: Provider, ledger_path: Path, more: str, after: str
) -> None:
    _run(provider, f"ledger={str(ledger_path)!r}", more, after)
    with Ledger(ledger_path) as ledger:
        (report,) = ledger.requests()
    assert (report.user_id, report.provider_response_id) == ("alice", provider.requests[0].response_id)


def test_the_end_of_a_script_delivers_to_the_service(ingest: Ingest, provider: Provider) -> None:
    _run(provider, f"base_url={ingest.url!r}, api_key={PAYI_KEY!r}")
    (report,) = ingest.ledger.requests()
    assert (report.user_id, report.provider_response_id) == ("alice", provider.requests[0].response_id)


def test_the_end_of_a_script_does_not_wait_for_a_service_that_hangs(ingest: Ingest, provider: Provider) -> None:
    ingest.mode = "hang"
    _run(provider, f"base_url={ingest.url!r}, ingest_timeout=600, shutdown_timeout=1.0")
    assert len(ingest.received) == 1


def _seen_by_redact(seen: list[Any]) -> Callable[[dict[str, Any]], dict[str, Any]]:
    def redact(item: dict[str, Any]) -> dict[str, Any]:
        suppressed = get_current().get("suppress_instrumentation")  # OpenTelemetry leaves our own requests untraced
        seen.append((current_frame(), get_context().user_id, suppressed))
        return item

    return redact


def test_delivering_threads_see_no_request(provider: Provider, ledger_path: Path) -> None:
    seen: list[Any] = []
    instrument(Settings(ledger=ledger_path, redact=_seen_by_redact(seen)))
    with track_context(user_id="alice"):  # the thread starts in here
        _calls(provider, 1)
    assert only_report(ledger_path).user_id == "alice"
    assert seen == [(None, None, True)]


def test_delivering_threads_started_by_a_burst_see_no_request(
    ingest: Ingest, remote: Settings, provider: Provider
) -> None:
    seen: list[Any] = []
    instrument(remote.model_copy(update={"redact": _seen_by_redact(seen)}))
    with track_context(user_id="alice"):
        _calls(provider, 20)
    assert flush(10)
    assert seen == [(None, None, True)] * 20
    assert {request.user_id for request in ingest.ledger.requests()} == {"alice"}


def test_the_app_does_not_wait_while_the_sink_is_being_opened(
    provider: Provider, ledger_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Opening the embedded ledger loads half a second of libraries; a real one cannot be made to hang at that."""
    entered, opened = Event(), Event()

    def slow(settings: Settings) -> Any:
        entered.set()
        assert opened.wait(30)
        return open_sink(settings)

    monkeypatch.setattr(meter_module, "open_sink", slow)
    instrument(Settings(ledger=ledger_path)).open()
    assert entered.wait(10)
    app = Thread(target=_calls, args=(provider, 3))
    app.start()
    app.join(10)
    waited = app.is_alive()
    opened.set()
    app.join(10)
    assert not waited
    assert len(reports(ledger_path)) == 3


@pytest.mark.parametrize("with_journal", [True, False])
def test_what_a_close_leaves_to_a_thread_that_takes_its_time_is_not_stranded(
    provider: Provider, ledger_path: Path, with_journal: bool
) -> None:
    gate = _Gate()
    how: dict[str, Any] = {} if with_journal else {"journal": "off"}
    meter = instrument(Settings(ledger=ledger_path, redact=gate, **how))
    answers = _calls(provider, 1)
    assert gate.entered.wait(10)
    answers += _calls(provider, 2)
    busy = [thread for thread in enumerate_threads() if thread.name == "payi-delivery"]
    assert not meter.close(0.1)
    gate.opened.set()
    for thread in busy:
        thread.join(30)
        assert not thread.is_alive()
    answers += _calls(provider, 1)  # which begins with what was left
    booked = {report.provider_response_id for report in reports(ledger_path)}
    stats = meter.stats()
    assert booked <= {answer.id for answer in answers}
    assert len(booked) + stats["dropped"] >= len(answers)  # one that is given up may have been under way
    assert stats["queued"] == 0
    assert not (with_journal and stats["dropped"])
