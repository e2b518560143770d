"""What goes over the wire to the service, and that the service answers as the embedded ledger does."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import openai
import pytest
from starlette.testclient import TestClient

from payi_middleware import IngestRefusedError, PayiMiddleware, Settings, flush, instrument, result_of, track_context
from payi_middleware import ingest as report_by_hand
from payi_middleware.demo.provider import Provider
from payi_middleware.meter import meter_for
from payi_middleware.service.accounts.records import RequestRecord
from payi_middleware.service.ledger import Ledger
from tests.delivery.ingest_server import PAYI_KEY, Ingest
from tests.transport.calling import KEY, MESSAGES, stand_in

CONTEXT: dict[str, Any] = {
    "user_id": "alice",
    "account_name": "acme",
    "use_case_name": "support",
    "use_case_id": "case 1",
    "use_case_version": 3,
    "use_case_step": "answer",
    "use_case_properties": {"plan": "gold"},
    "limit_ids": ["team", "all"],
    "request_tags": ["blue", "green"],
    "request_properties": {"topic": "géo"},
    "resource_scope": "datazone.us",
}


def _call(provider: Provider, **behaviour: Any) -> Any:
    with openai.OpenAI(base_url=provider.openai_url, api_key=KEY, max_retries=0) as client:
        return client.chat.completions.create(
            model="gpt-4o-mini", messages=MESSAGES, extra_headers=stand_in(**behaviour)
        )


def _limits(ledger: Ledger, *names: str) -> None:
    for name in names:
        ledger.create_limit(limit_name=name, limit_id=name, max=1)


def test_context_travels_in_headers_and_the_rest_in_the_body(
    ingest: Ingest, remote: Settings, provider: Provider
) -> None:
    _limits(ingest.ledger, "team", "all")
    instrument(remote)
    with track_context(**CONTEXT):
        answer = _call(provider, cached_tokens=5, reasoning_tokens=2, tool_call="look_up")
    assert flush(10)
    (received,) = ingest.received
    assert (received.method, received.path, received.query) == ("POST", "/api/v1/ingest", f"id={answer.id}")
    payi = {name: value for name, value in received.headers.items() if name.startswith("xproxy-")}
    assert payi == {
        "xproxy-api-key": PAYI_KEY,
        "xproxy-user-id": "alice",
        "xproxy-account-name": "acme",
        "xproxy-usecase-name": "support",
        "xproxy-usecase-id": "case 1",
        "xproxy-usecase-version": "3",
        "xproxy-usecase-step": "answer",
        "xproxy-limit-ids": "team,all",
        "xproxy-request-tags": "blue,green",
        "xproxy-resource-scope": "datazone.us",
        "xproxy-logging-disable": "True",
        "xproxy-instrumented-module": f"openai/{openai.__version__}",
    }
    assert received.headers["content-type"] == "application/json"
    body = received.body
    assert body["category"] == "system.openai"
    assert body["resource"].startswith("gpt-4o-mini")
    assert body["units"]["text"] == {"input": 7, "output": 10}
    assert body["units"]["text_cache_read"] == {"input": 5}
    assert body["units"]["reasoning"] == {"output": 2}
    assert (body["http_status_code"], body["provider_response_id"]) == (200, answer.id)
    assert body["event_timestamp"].endswith("Z")
    assert body["end_to_end_latency_ms"] >= 0
    assert body["properties"]["topic"] == "géo"
    assert body["use_case_properties"] == {"plan": "gold"}
    assert body["provider_response_function_calls"] == [{"name": "look_up"}]
    assert not {"user_id", "limit_ids", "use_case_name", "request_tags", "scope"} & set(body)


def test_a_failed_call_goes_with_its_status_and_empty_units(
    ingest: Ingest, remote: Settings, provider: Provider
) -> None:
    instrument(remote)
    with pytest.raises(openai.RateLimitError):
        _call(provider, status=429)
    assert flush(10)
    (received,) = ingest.received
    assert (received.body["http_status_code"], received.body["units"]) == (429, {})
    assert received.query == f"id={received.body['provider_response_id']}"
    assert received.body["provider_response_id"].startswith("payi_")


def test_without_a_key_none_is_sent(ingest: Ingest, provider: Provider) -> None:
    instrument(Settings(base_url=ingest.url))
    _call(provider)
    assert flush(10)
    assert "xproxy-api-key" not in ingest.received[0].headers


def test_one_connection_is_used_again(ingest: Ingest, remote: Settings, provider: Provider) -> None:
    instrument(remote.model_copy(update={"ingest_connections": 1}))
    for _ in range(5):
        result_of(_call(provider), timeout=10)
    assert len(ingest.received) == 5
    assert len({received.peer for received in ingest.received}) == 1


def test_a_base_url_may_end_in_a_slash_and_have_a_path(remote: Settings, provider: Provider, ingest: Ingest) -> None:
    instrument(Settings(base_url=f"{ingest.url}/", api_key=PAYI_KEY))
    assert result_of(_call(provider), timeout=10).request_id
    assert ingest.received[0].path == "/api/v1/ingest"


@pytest.mark.parametrize(
    "context",
    [
        {"user_id": "josé"},
        {"user_id": "用户 🎉"},
        {"user_id": " leading blank"},
        {"account_name": "trailing blank "},
        {"account_name": "two\nlines"},
        {"account_name": "acmé", "limit_ids": ["team", "all"]},
    ],
)
@pytest.mark.parametrize("returns_results", [True, False])
def test_what_no_header_can_carry_is_neither_lost_nor_mangled(
    ingest: Ingest, remote: Settings, provider: Provider, context: dict[str, Any], returns_results: bool
) -> None:
    _limits(ingest.ledger, *context.get("limit_ids", []))
    if not returns_results:
        ingest.tells_results = False
    instrument(remote)
    with track_context(**context):
        result = result_of(_call(provider), timeout=10)
    (stored,) = ingest.ledger.requests()
    assert result.request_id == stored.request_id
    assert result.cost is not None
    assert result.cost.total is not None
    assert float(result.cost.total.base or 0) == float(stored.cost) > 0
    for name in ("user_id", "account_name"):
        assert getattr(stored, name) == context.get(name)
    assert list(stored.limits) == context.get("limit_ids", [])
    paths = [(received.method, received.path.rpartition("/")[2]) for received in ingest.received]
    assert paths == ([("POST", "bulk")] if returns_results else [("POST", "bulk"), ("GET", "result")])


@pytest.mark.parametrize(
    ("tells_results", "paths"),
    [(True, ["ingest", "bulk", "bulk"]), (False, ["ingest", "bulk", "result", "ingest"])],
)
def test_the_second_report_finds_out_whether_a_service_tells_results_in_bulk(
    ingest: Ingest, remote: Settings, provider: Provider, tells_results: bool, paths: list[str]
) -> None:
    ingest.tells_results = tells_results
    instrument(remote)
    results = [result_of(_call(provider), timeout=10) for _ in range(3)]
    stored = {request.request_id for request in ingest.ledger.requests()}
    assert {result.request_id for result in results} == stored
    assert [received.path.rpartition("/")[2] for received in ingest.received] == paths


def test_a_comma_in_a_limit_id_does_not_make_it_two(ingest: Ingest, remote: Settings, provider: Provider) -> None:
    _limits(ingest.ledger, "a", "b")
    instrument(remote)
    with track_context(limit_ids=["a,b"]), pytest.raises(IngestRefusedError, match="limit"):
        result_of(_call(provider), timeout=10)
    assert [item["limit_ids"] for received in ingest.received for item in received.body] == [["a,b"]]


def test_a_bulk_item_that_is_refused_is_told_as_such(ingest: Ingest, remote: Settings, provider: Provider) -> None:
    instrument(remote)
    with track_context(user_id="josé", limit_ids=["unknown"]):
        answer = _call(provider)
    with pytest.raises(IngestRefusedError) as refused:
        result_of(answer, timeout=10)
    assert (refused.value.status, ingest.ledger.requests()) == (400, [])


def test_a_report_by_hand_takes_the_same_way(ingest: Ingest, remote: Settings) -> None:
    instrument(remote)
    for user_id in ("alice", "josé"):
        result = report_by_hand(
            category="system.openai", resource="gpt-4o-mini", units={"text": {"input": 9, "output": 1}}, user_id=user_id
        )
        assert result.user_id == user_id
    assert [received.path for received in ingest.received] == ["/api/v1/ingest", "/api/v1/ingest/bulk"]


def _stored(ledger: Ledger) -> list[dict[str, Any]]:
    own = ("request_id", "provider_response_id", "event_timestamp", "ingest_timestamp", "use_case_id", "exchange")
    return [
        {
            name: getattr(request, name)
            for name in RequestRecord.__dataclass_fields__
            if name not in own and not name.endswith("_ms")
        }
        for request in ledger.requests(newest_first=False)
    ]


def test_the_service_and_the_embedded_ledger_say_and_keep_the_same(
    ingest: Ingest, remote: Settings, make_app: Callable[[Settings], PayiMiddleware], tmp_path: Path
) -> None:
    embedded = tmp_path / "embedded.db"
    with Ledger(embedded) as ledger:
        _limits(ledger, "team", "all")
        _limits(ingest.ledger, "team", "all")
        annotated = {"use_case_name": "support", "limit_ids": ["team"], "request_properties": {"topic": "géo"}}
        seen = []
        for settings in (remote, Settings(ledger=embedded, header_wait=10.0)):
            client = TestClient(make_app(settings.model_copy(update=annotated)), client=("127.0.0.1", 5000))
            for user, behaviour in (
                ("alice", {}),
                ("bob", {"cached_tokens": 900, "gzip": True}),
                ("eve", {"status": 400}),
            ):
                with contextlib.suppress(openai.BadRequestError):
                    response = client.get("/ask", params=stand_in(**behaviour), headers={"X-User-ID": user})
                    seen.append({name: value for name, value in response.headers.items() if name.startswith("x-payi-")})
            assert flush(10)
        own = {"x-payi-request-id", "x-payi-use-case-id"}
        first, second = ([{n: v for n, v in one.items() if n not in own} for one in seen[i : i + 2]] for i in (0, 2))
        assert first == second
        assert (first[0]["x-payi-calls"], first[0]["x-payi-status"], first[0]["x-payi-limits"]) == (
            "1",
            "final",
            "team=ok",
        )
        assert [set(one) for one in seen[:2]] == [set(one) for one in seen[2:]]
        assert len(_stored(ledger)) == 3
        assert _stored(ingest.ledger) == _stored(ledger)


def test_what_the_app_itself_reports_is_refused_if_it_has_no_json_form(remote: Settings, ingest: Ingest) -> None:
    item = {"category": "system.openai", "provider_response_id": "1", "properties": {"when": datetime.now(UTC)}}
    with pytest.raises(TypeError):
        meter_for(remote).send(item)
    assert list(ingest.ledger.requests()) == []
