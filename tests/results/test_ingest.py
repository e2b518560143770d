"""`ingest()` reports what no transport can see, with the current annotations."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal
from pathlib import Path
from typing import Any

import anyio.to_thread
import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route
from starlette.testclient import TestClient

from payi_middleware import (
    ConfigurationError,
    IngestConnectionError,
    IngestRefusedError,
    IngestTimeoutError,
    PayiMiddleware,
    Settings,
    aingest,
    get_context,
    ingest,
    instrument,
    parse_headers,
    track_context,
)
from tests.delivery.ingest_server import PAYI_KEY, ingest_server
from tests.transport.calling import only_report
from tests.transport.serving import unused_port

REPORT: dict[str, Any] = {
    "category": "system.openai",
    "resource": "gpt-4o-mini",
    "units": {"text": {"input": 1_000_000, "output": 0}},
}
WHEN = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


def test_a_report_has_the_current_annotations_and_its_own(settings: Settings, ledger_path: Path) -> None:
    instrument(settings)
    with track_context(user_id="alice", use_case_name="support", request_properties={"kept": "1", "both": "context"}):
        result = ingest(
            **REPORT,
            event_timestamp=WHEN.astimezone(timezone(timedelta(hours=5))),
            end_to_end_latency_ms=12,
            time_to_first_token_ms=3,
            http_status_code=200,
            properties={"both": "own"},
            provider_response_id="own-1",
            account_name="acme",
            request_tags=["blue"],
        )
        assert get_context().last_result is result
    report = only_report(ledger_path)
    assert (report.user_id, report.account_name, report.use_case_name) == ("alice", "acme", "support")
    assert (report.properties["kept"], report.properties["both"]) == ("1", "own")
    assert (report.request_tags, report.provider_response_id) == (["blue"], "own-1")
    assert (report.event_timestamp, report.end_to_end_latency_ms, report.time_to_first_token_ms) == (WHEN, 12, 3)
    assert result.request_id == report.request_id
    assert result.cost is not None
    assert result.cost.total is not None
    assert result.cost.total.base == report.cost > 0


@pytest.mark.anyio
async def test_an_async_report_has_the_current_annotations(settings: Settings, ledger_path: Path) -> None:
    instrument(settings)
    with track_context(user_id="alice"):
        result = await aingest(**REPORT, use_case_step="answer")
        assert get_context().last_result is result
    report = await anyio.to_thread.run_sync(only_report, ledger_path)
    assert (report.user_id, report.request_id) == ("alice", result.request_id)


def test_a_report_outside_any_context_has_the_settings_defaults(ledger_path: Path) -> None:
    instrument(Settings(ledger=ledger_path, account_name="acme"))
    ingest(**REPORT)
    assert only_report(ledger_path).account_name == "acme"


def test_a_second_report_of_one_response_is_not_charged(settings: Settings, ledger_path: Path) -> None:
    instrument(settings)
    first, second = (ingest(**REPORT, provider_response_id="own-1") for _ in range(2))
    assert (second.request_id, second.duplicate_request) == (first.request_id, True)
    only_report(ledger_path)


def test_a_report_counts_in_the_summary_of_its_request(settings: Settings) -> None:
    async def handler(request: Request) -> JSONResponse:
        await aingest(**REPORT)
        result = await anyio.to_thread.run_sync(lambda: ingest(**REPORT))
        return JSONResponse([get_context().summary.calls, result.user_id])

    app = PayiMiddleware(Starlette(routes=[Route("/", handler)]), settings)
    response = TestClient(app, client=("127.0.0.1", 5000)).get("/", headers={"X-User-ID": "alice"})
    assert response.json() == [2, "alice"]
    summary = parse_headers(response.headers)
    assert (summary.calls, summary.status, len(summary.request_ids)) == (2, "final", 2)
    assert summary.cost == Decimal("0.3")


def test_a_wrong_parameter_is_a_type_error(settings: Settings, ledger_path: Path) -> None:
    instrument(settings)
    for wrong in ({"user": "alice"}, {"user_id": 7}, {"limit_ids": "one"}):
        with pytest.raises(TypeError):
            ingest(**REPORT, **wrong)


def test_a_refused_report_raises_why(settings: Settings) -> None:
    instrument(settings)
    with track_context(user_id="alice"):
        with pytest.raises(IngestRefusedError) as refused:
            ingest(**REPORT, limit_ids=["unknown"])
        assert refused.value.status == 400
        assert (get_context().summary.calls, get_context().last_result) == (1, None)


def test_a_service_that_cannot_be_reached_is_a_connection_error() -> None:
    with unused_port() as port:
        instrument(Settings(base_url=f"http://127.0.0.1:{port}"))
        with pytest.raises(IngestConnectionError):
            ingest(**REPORT)


@pytest.mark.parametrize(
    ("mode", "error"),
    [
        ("hang", IngestTimeoutError),
        ("half", IngestConnectionError),
        ("html", IngestConnectionError),
        ("html 502", IngestRefusedError),
        (500, IngestRefusedError),
        (401, IngestRefusedError),
    ],
)
@pytest.mark.anyio
async def test_a_service_that_misbehaves_is_a_typed_error(
    tmp_path: Path, mode: str | int, error: type[Exception]
) -> None:
    with ingest_server(tmp_path / "remote.db", mode=mode) as server:
        patience = 0.2 if mode == "hang" else 30.0
        instrument(Settings(base_url=server.url, api_key=PAYI_KEY, ingest_timeout=patience))
        with pytest.raises(error):
            await aingest(**REPORT)


def test_a_wrong_environment_is_a_configuration_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PAYI_HEADER_WAIT", "soon")
    with pytest.raises(ConfigurationError):
        ingest(**REPORT)
