"""Whatever the network does to the reports, the app notices nothing, and each call is booked and charged once."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Iterator
from decimal import Decimal
from pathlib import Path
from threading import Thread
from typing import Any

import openai
import pytest

from payi_middleware import (
    IngestConnectionError,
    IngestTimeoutError,
    PayiMiddleware,
    Settings,
    flush,
    instrument,
    result_of,
)
from payi_middleware import ingest as report_by_hand
from payi_middleware.demo.provider import Provider
from payi_middleware.meter import Meter, meter_for
from tests.delivery.asking import ANSWER, ask_app
from tests.delivery.fault_proxy import FAULTS, Fault, FaultProxy, fault_proxy
from tests.delivery.ingest_server import PAYI_KEY, Ingest, ingest_server
from tests.transport.calling import KEY, MESSAGES
from tests.transport.serving import unused_port
from tests.waiting import until

MakeApp = Callable[[Settings], PayiMiddleware]
LASTING: tuple[Fault, ...] = ("hang", "trickle")
HARMLESS: tuple[Fault, ...] = ("pass", "slow")
LIMIT = "team"

pytestmark = pytest.mark.usefixtures("short_pauses")


@pytest.fixture
def proxy(ingest: Ingest) -> Iterator[FaultProxy]:
    ingest.ledger.create_limit(limit_name=LIMIT, limit_id=LIMIT, max=1000)
    with fault_proxy(ingest.url) as between:
        yield between


@pytest.fixture
def faulty(proxy: FaultProxy) -> Settings:
    """Settings that report through the proxy."""
    return Settings(
        base_url=proxy.url, api_key=PAYI_KEY, header_wait=600.0, ingest_timeout=10.0, shutdown_timeout=0.2,
        limit_ids=(LIMIT,),
        limits="off",  # the connections that are counted here are those of reports
    )  # fmt: skip


def _impatient(settings: Settings, fault: Fault = "hang", **more: Any) -> Settings:
    """Return settings that soon give up an attempt which meets a fault that would last."""
    return settings.model_copy(update={**more, **({"ingest_timeout": 0.3} if fault in LASTING else {})})


def _call(provider: Provider, count: int = 1) -> list[Any]:
    with openai.OpenAI(base_url=provider.openai_url, api_key=KEY, max_retries=0) as client:
        answers = [client.chat.completions.create(model="gpt-4o-mini", messages=MESSAGES) for _ in range(count)]
    assert [answer.choices[0].message.content for answer in answers] == [ANSWER] * count
    return answers


def _assert_booked_once(ingest: Ingest, provider: Provider, meter: Meter) -> None:
    """Everything the provider was asked is in the ledger once, charged once, counted once, and nothing else is."""
    assert meter.flush(30)
    asked = Counter(request.response_id for request in provider.requests)
    booked = ingest.ledger.requests(limit=10_000)
    assert Counter(request.provider_response_id for request in booked) == asked
    totals = ingest.ledger.limit(LIMIT)["totals"]
    assert totals["requests"]["total"] == len(asked)
    assert totals["cost"]["total"]["base"] == sum((request.cost for request in booked), Decimal(0)) > 0
    stats = meter.stats()
    assert (stats["delivered"], stats["queued"], stats["oldest_age"]) == (len(asked), 0, None)
    assert (stats["dropped"], stats["refused"]) == (0, 0)
    assert meter.available


@pytest.mark.parametrize("fault", FAULTS)
def test_an_app_whose_reports_meet_a_fault_answers_as_without_us_and_they_arrive_once_it_is_over(
    fault: Fault, proxy: FaultProxy, ingest: Ingest, faulty: Settings, provider: Provider, make_app: MakeApp
) -> None:
    settings = _impatient(faulty, fault)
    app = make_app(settings)
    proxy.fault = fault
    for _ in range(3):
        headers = ask_app(app)
        assert headers["x-payi-calls"] == "1"
        assert headers["x-payi-status"] == ("final" if fault in HARMLESS else "pending")
    proxy.fault = "pass"
    assert flush(30)
    _assert_booked_once(ingest, provider, meter_for(settings))
    until(lambda: ask_app(app)["x-payi-status"] == "final")  # a busy machine may miss so short a timeout once more


@pytest.mark.parametrize("fault", FAULTS)
def test_a_bulk_that_meets_a_fault_arrives_whole_once_it_is_over(
    fault: Fault, proxy: FaultProxy, ingest: Ingest, faulty: Settings, provider: Provider
) -> None:
    meter = instrument(_impatient(faulty, fault, headers="off"))
    _call(provider)
    assert flush(30)
    proxy.fault = fault
    _call(provider, 60)
    assert flush(30) if fault in HARMLESS else not flush(0.5)
    assert meter.stats()["retried"] == 0 if fault in HARMLESS else meter.stats()["retried"] > 1
    proxy.fault = "pass"
    assert flush(30)
    _assert_booked_once(ingest, provider, meter)
    assert any(received.path.endswith("/bulk") and len(received.body) > 1 for received in ingest.received)


@pytest.mark.parametrize("headers", ["summary", "off"])
@pytest.mark.parametrize("seed", range(6))
def test_reports_arrive_once_through_any_sequence_of_faults(
    seed: int, headers: Any, proxy: FaultProxy, ingest: Ingest, faulty: Settings, provider: Provider
) -> None:
    chosen = random.Random(seed)
    meter = instrument(_impatient(faulty, headers=headers))
    for _ in range(4):
        proxy.plan.extend(chosen.choices([fault for fault in (*FAULTS, "pass") if fault != "refuse"], k=5))
        if chosen.random() < 0.3:
            proxy.fault = "refuse"
        elif chosen.random() < 0.3:
            proxy.cut()
        _call(provider, chosen.choice([1, 3, 20, 60]))
        proxy.fault = "pass"
    assert flush(60)
    while proxy.plan:  # reports that nobody waits for go together, over fewer connections
        proxy.cut()
        _call(provider, 1)
        assert flush(60)
    _assert_booked_once(ingest, provider, meter)


def test_calls_of_many_threads_arrive_once_while_the_network_flickers(
    proxy: FaultProxy, ingest: Ingest, faulty: Settings, provider: Provider
) -> None:
    meter = instrument(faulty)
    proxy.plan.extend(random.Random(7).choices(("pass", "pass", "pass", "reset", "half", "lose answer", "close"), k=60))
    threads = [Thread(target=_call, args=(provider, 15)) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert flush(60)
    _assert_booked_once(ingest, provider, meter)


def test_a_result_is_the_first_deliverys_where_its_answer_was_lost(
    proxy: FaultProxy, ingest: Ingest, faulty: Settings, provider: Provider
) -> None:
    meter = instrument(faulty)
    proxy.plan.append("lose answer")
    (answer,) = _call(provider)
    result = result_of(answer, timeout=30)
    (booked,) = ingest.ledger.requests()
    assert (result.request_id, result.duplicate_request) == (booked.request_id, True)
    assert result.cost is not None
    assert result.cost.total is not None
    assert result.cost.total.base == booked.cost
    assert flush(10)
    _assert_booked_once(ingest, provider, meter)


def test_a_connection_that_was_kept_and_then_cut_costs_no_report(
    proxy: FaultProxy, ingest: Ingest, faulty: Settings, provider: Provider
) -> None:
    meter = instrument(faulty)
    for _ in range(5):
        result_of(_call(provider)[0], timeout=30)
        proxy.cut()
    assert proxy.connections >= 5
    _assert_booked_once(ingest, provider, meter)


@pytest.mark.parametrize("fault", ["close", "reset"])
def test_a_kept_connection_that_ends_as_the_next_report_is_sent_costs_no_report(
    fault: Fault, proxy: FaultProxy, ingest: Ingest, faulty: Settings, provider: Provider
) -> None:
    meter = instrument(faulty)
    proxy.plan.extend(["pass", fault, "pass", fault, fault, "pass"])
    for _ in range(3):
        result_of(_call(provider)[0], timeout=30)
    assert proxy.suffered == ["pass", fault, "pass", fault, fault, "pass"]
    assert meter.stats()["retried"] == 3
    assert flush(10)
    _assert_booked_once(ingest, provider, meter)


def test_a_service_that_was_started_anew_between_two_reports_gets_the_second(
    provider: Provider, remote_ledger: Path
) -> None:
    with unused_port() as port:
        meter = instrument(Settings(base_url=f"http://127.0.0.1:{port}", api_key=PAYI_KEY, shutdown_timeout=0.2))
    seen = []
    for _ in range(3):
        with ingest_server(remote_ledger, port=port) as ingest:
            (answer,) = _call(provider)
            assert result_of(answer, timeout=30).request_id
            seen.append(answer.id)
            assert [request.provider_response_id for request in ingest.ledger.requests(newest_first=False)] == seen
    assert flush(10)
    assert meter.stats()["delivered"] == 3


@pytest.mark.parametrize("fault", ["trickle", "flood"])
def test_an_answer_without_an_end_holds_no_thread_and_no_memory(
    fault: Fault, proxy: FaultProxy, ingest: Ingest, faulty: Settings, provider: Provider
) -> None:
    meter = instrument(faulty.model_copy(update={"ingest_timeout": 2.0}))
    proxy.plan.append(fault)
    (answer,) = _call(provider)
    assert result_of(answer, timeout=60).request_id
    assert proxy.sent < 256 * 1024 * 1024
    assert meter.stats()["retried"] == 1
    _assert_booked_once(ingest, provider, meter)


def test_a_report_by_hand_says_what_went_wrong_and_may_be_repeated(
    proxy: FaultProxy, ingest: Ingest, faulty: Settings
) -> None:
    instrument(_impatient(faulty))
    report: dict[str, Any] = {
        "category": "system.openai",
        "resource": "gpt-4o-mini",
        "units": {"text": {"input": 9, "output": 1}},
        "provider_response_id": "made by hand",
    }
    for fault in FAULTS:
        if fault == "slow":
            continue
        proxy.fault = fault
        with pytest.raises((IngestConnectionError, IngestTimeoutError)):
            report_by_hand(**report)
    proxy.fault = "pass"
    result = report_by_hand(**report)
    (booked,) = ingest.ledger.requests()
    assert (result.request_id, result.duplicate_request) == (booked.request_id, True)
    assert ingest.ledger.limit(LIMIT)["totals"]["requests"]["total"] == 1
