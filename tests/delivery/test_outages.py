"""While Pay-i is out of order, the app is as it is without us, and nothing is lost that a queue can keep."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import openai
import pytest

from payi_middleware import IngestRefusedError, PayiMiddleware, Settings, flush, instrument, result_of
from payi_middleware.demo.provider import Provider
from payi_middleware.meter import meter_for
from tests.delivery.asking import ANSWER, ask_app
from tests.delivery.ingest_server import PAYI_KEY, Ingest, ingest_server
from tests.transport.calling import KEY, MESSAGES
from tests.transport.serving import unused_port

MakeApp = Callable[[Settings], PayiMiddleware]


@contextmanager
def _call(client: openai.OpenAI) -> Iterator[object]:
    answer = client.chat.completions.create(model="gpt-4o-mini", messages=MESSAGES)
    assert answer.choices[0].message.content == ANSWER
    yield answer


@pytest.mark.parametrize("mode", ["hang", "half", "html", 500, 503, 429, "html 502", 401, "html 401", 400, "html 413"])
def test_the_app_answers_as_without_us_whatever_the_service_does(
    ingest: Ingest, remote: Settings, make_app: MakeApp, mode: str | int
) -> None:
    ingest.mode = mode
    settings = remote.model_copy(update={"header_wait": 600.0, "ingest_timeout": 0.2})
    app = make_app(settings)
    for _ in range(2):
        headers = ask_app(app)
        assert (headers["x-payi-calls"], headers["x-payi-status"]) == ("1", "pending")
        assert headers.get("x-payi-cost-source") in (None, "estimate")
    assert ingest.asked.is_set()


def test_the_app_answers_as_without_us_when_nobody_listens(make_app: MakeApp) -> None:
    with unused_port() as port:
        app = make_app(Settings(base_url=f"http://127.0.0.1:{port}", header_wait=600.0, shutdown_timeout=0.1))
        for _ in range(2):
            assert ask_app(app)["x-payi-status"] == "pending"


def test_the_start_of_a_response_waits_no_longer_than_header_wait(
    ingest: Ingest, remote: Settings, make_app: MakeApp
) -> None:
    ingest.mode = "hang"
    settings = remote.model_copy(update={"header_wait": 0.05, "ingest_timeout": 600.0})
    assert ask_app(make_app(settings))["x-payi-status"] == "pending"
    assert meter_for(settings).available  # it is only slow up to now


def test_nobody_waits_while_the_service_is_known_to_be_unavailable(
    ingest: Ingest, remote: Settings, make_app: MakeApp
) -> None:
    settings = remote.model_copy(update={"header_wait": 600.0, "ingest_timeout": 600.0})
    app = make_app(settings)
    assert ask_app(app)["x-payi-status"] == "final"
    ingest.mode = 500
    assert ask_app(app)["x-payi-status"] == "pending"
    assert not meter_for(settings).available
    ingest.mode = "hang"
    assert ask_app(app)["x-payi-status"] == "pending"


@pytest.mark.usefixtures("short_pauses")
@pytest.mark.parametrize("mode", ["hang", "half", "html", 500, 429, 408, "html 502"])
def test_what_was_queued_in_an_outage_is_delivered_after_it(
    ingest: Ingest, remote: Settings, provider: Provider, mode: str | int
) -> None:
    settings = remote.model_copy(update={"ingest_timeout": 0.2})
    meter = instrument(settings)
    ingest.mode = mode
    with openai.OpenAI(base_url=provider.openai_url, api_key=KEY) as client:
        for _ in range(3):
            with _call(client):
                pass
    assert ingest.asked.wait(10)
    assert not flush(0.3)
    assert meter.stats()["delivered"] == 0
    ingest.mode = "ok"
    assert flush(10)
    stats = meter.stats()
    assert (stats["delivered"], stats["dropped"], stats["refused"], stats["queued"]) == (3, 0, 0, 0)
    assert stats["retried"] > 0
    assert meter.available
    booked = {request.provider_response_id for request in ingest.ledger.requests()}
    assert booked == {request.response_id for request in provider.requests}


@pytest.mark.usefixtures("short_pauses")
def test_what_was_queued_while_nobody_listened_is_delivered_when_somebody_does(
    provider: Provider, remote_ledger: Path
) -> None:
    with unused_port() as port:
        meter = instrument(Settings(base_url=f"http://127.0.0.1:{port}", api_key=PAYI_KEY))
        with openai.OpenAI(base_url=provider.openai_url, api_key=KEY) as client, _call(client):
            assert not flush(0.3)
        assert meter.stats()["last_error"] == "IngestConnectionError"
    with ingest_server(remote_ledger, port=port) as ingest:
        assert flush(10)
        assert len(ingest.ledger.requests()) == 1
    assert meter.available


@pytest.mark.parametrize(("mode", "status"), [(400, 400), (401, 401), ("html 401", 401), ("html 413", 413)])
def test_a_refused_report_is_counted_and_not_repeated(
    ingest: Ingest, remote: Settings, provider: Provider, mode: str | int, status: int
) -> None:
    meter = instrument(remote)
    ingest.mode = mode
    with openai.OpenAI(base_url=provider.openai_url, api_key=KEY) as client, _call(client) as answer:
        with pytest.raises(IngestRefusedError) as refused:
            result_of(answer, timeout=10)
        assert refused.value.status == status
    assert flush(10)
    stats = meter.stats()
    assert (stats["refused"], stats["delivered"], stats["retried"], len(ingest.received)) == (1, 0, 0, 1)
    assert str(status) in stats["last_error"]


def test_a_wrong_key_is_refused_by_the_service_and_the_app_goes_on(
    ingest: Ingest, remote: Settings, make_app: MakeApp
) -> None:
    settings = Settings(base_url=ingest.url, api_key="another", header_wait=10.0)
    assert ask_app(make_app(settings))["x-payi-status"] == "pending"
    stats = meter_for(settings).stats()
    assert (stats["refused"], stats["last_error"]) == (1, "HTTP 401 invalid_api_key")


@pytest.mark.usefixtures("short_pauses")
def test_an_outage_is_logged_once_and_its_end_too(
    ingest: Ingest, remote: Settings, provider: Provider, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    instrument(remote)
    ingest.mode = 503
    with openai.OpenAI(base_url=provider.openai_url, api_key=KEY) as client, _call(client):
        assert not flush(0.3)
    ingest.mode = "ok"
    assert flush(10)
    lines = [record.getMessage() for record in caplog.records if record.name == "payi_middleware"]
    assert lines == ["Reports cannot be delivered at present: HTTP 503 told_to", "Reports are delivered again"]
