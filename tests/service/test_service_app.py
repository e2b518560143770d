"""The HTTP API, over a real server on a loopback port."""

from __future__ import annotations

import base64
import json
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
import uvicorn
from starlette.applications import Starlette
from starlette.routing import Mount
from starlette.types import ASGIApp

from payi_middleware.service.app import create_app
from payi_middleware.service.config import MAX_BODY
from payi_middleware.service.ledger import Ledger

KEY = {"xProxy-api-key": "secret"}
CALL: dict[str, Any] = {
    "category": "system.openai",
    "resource": "gpt-4o-mini",
    "units": {"text": {"input": 1_000, "output": 500}},
}


@contextmanager
def serving(app: ASGIApp) -> Iterator[httpx.Client]:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        server = uvicorn.Server(uvicorn.Config(app, log_level="critical", lifespan="off"))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
        thread.start()
        try:
            url = f"http://127.0.0.1:{listener.getsockname()[1]}"
            with httpx.Client(base_url=url, trust_env=False, timeout=30) as client:
                yield client
        finally:
            server.should_exit = True
            thread.join()


@pytest.fixture
def client(ledger: Ledger) -> Iterator[httpx.Client]:
    with serving(create_app(ledger, api_key="secret")) as opened:
        opened.headers.update(KEY)
        yield opened


def error(response: httpx.Response) -> tuple[int, str]:
    body = response.json()
    assert body["statusCode"] == response.status_code
    assert body["message"] == body["xproxy_error"]["message"]
    assert "Traceback" not in response.text
    return response.status_code, body["xproxy_error"]["code"]


def test_an_ingest_answers_the_cost_as_numbers(client: httpx.Client) -> None:
    response = client.post("/api/v1/ingest", json=CALL)
    assert response.status_code == 200
    assert response.headers["content-type"] == "application/json"
    body = response.json()
    assert body["event_timestamp"].endswith("Z")
    assert body["xproxy_result"]["cost"] == {
        "currency": "usd",
        "input": {"base": 0.00015},
        "output": {"base": 0.0003},
        "total": {"base": 0.00045},
    }


def test_headers_annotate_an_ingest(client: httpx.Client, ledger: Ledger) -> None:
    for name in ("one", "two"):
        ledger.create_limit(limit_name=name, max=1, limit_id=name)
    headers = {
        "xProxy-Limit-IDs": "one , two,",
        "XPROXY-REQUEST-TAGS": "a,b",
        "xProxy-UseCase-Name": "chat",
        "xProxy-UseCase-ID": "7",
        "xProxy-UseCase-Step": "draft",
        "xProxy-UseCase-Version": "3",
        "xProxy-User-ID": "alice",
        "xProxy-Account-Name": "acme",
        "xProxy-Resource-Scope": "datazone.us",
        "xProxy-Request-Properties": json.dumps({"route": "/chat", "from": "header"}),
        "xProxy-UseCase-Properties": base64.b64encode(b'{"tier": "gold"}').decode(),
    }
    body = {**CALL, "user_id": "overridden", "properties": {"from": "body"}}
    result = client.post("/api/v1/ingest", json=body, headers=headers).json()["xproxy_result"]
    assert result["limits"] == {"one": {"state": "ok"}, "two": {"state": "ok"}}
    (record,) = ledger.requests()
    assert (record.user_id, record.account_name, record.scope) == ("alice", "acme", "datazone.us")
    assert (record.use_case_name, record.use_case_id, record.use_case_step) == ("chat", "7", "draft")
    assert (record.use_case_version, record.request_tags) == (3, ["a", "b"])
    assert (record.properties, record.use_case_properties) == ({"route": "/chat", "from": "body"}, {"tier": "gold"})


@pytest.mark.parametrize(
    ("headers", "code"),
    [
        ({"xProxy-UseCase-Version": "three"}, "request_processing_error"),
        ({"xProxy-Request-Properties": "???"}, "invalid_json"),
        ({"xProxy-Request-Properties": base64.b64encode(b"[]").decode()}, "invalid_json"),
        ({"xProxy-Limit-IDs": "a,a"}, "duplicate_limit_id"),
        ({"xProxy-Limit-IDs": "unknown"}, "invalid_limit_ids"),
    ],
)
def test_a_header_that_cannot_be_read_is_refused(client: httpx.Client, headers: dict[str, str], code: str) -> None:
    assert error(client.post("/api/v1/ingest", json=CALL, headers=headers)) == (400, code)


def test_the_id_of_the_query_makes_a_repeat_known(client: httpx.Client) -> None:
    first = client.post("/api/v1/ingest", params={"id": "resp_1"}, json=CALL).json()
    again = client.post("/api/v1/ingest", json={**CALL, "provider_response_id": "resp_1"}).json()
    assert again["request_id"] == first["request_id"]
    assert again["xproxy_result"]["duplicate_request"] is True


@pytest.mark.parametrize(("value", "kept"), [("True", False), ("False", True), ("None", True)])
def test_logging_disabled_drops_the_bodies_and_keeps_the_cost(
    client: httpx.Client, ledger: Ledger, value: str, kept: bool
) -> None:
    body = {**CALL, "provider_request_json": "{}", "provider_response_headers": [{"name": "a"}]}
    client.post("/api/v1/ingest", json=body, headers={"xProxy-Logging-Disable": value})
    (record,) = ledger.requests()
    assert bool(record.exchange) is kept
    assert record.cost > 0


@pytest.mark.parametrize("headers", [{"xProxy-api-key": ""}, {"xProxy-api-key": "Secret"}])
def test_a_wrong_key_is_refused(client: httpx.Client, headers: dict[str, str]) -> None:
    assert error(client.post("/api/v1/ingest", json=CALL, headers=headers)) == (401, "invalid_api_key")
    assert error(client.get("/api/v1/nowhere", headers=headers)) == (401, "invalid_api_key")


def test_the_health_check_needs_no_key(client: httpx.Client) -> None:
    response = client.get("/healthz", headers={"xProxy-api-key": ""})
    assert (response.status_code, response.json()) == (200, {"status": "ok"})


def test_without_a_configured_key_everybody_is_let_in(ledger: Ledger) -> None:
    with serving(create_app(ledger)) as client:
        assert client.post("/api/v1/ingest", json=CALL).status_code == 200


@pytest.mark.parametrize("content", [b"{", b"\xff", b"[" * 100_000, b'{"category": ' + b"1" * 5_000 + b"}"])
def test_what_is_no_json_is_refused(client: httpx.Client, content: bytes) -> None:
    assert error(client.post("/api/v1/ingest", content=content)) == (400, "invalid_json")


def test_no_body_and_a_wrong_kind_of_body_are_refused(client: httpx.Client) -> None:
    assert error(client.post("/api/v1/ingest")) == (400, "request_processing_error")
    assert error(client.post("/api/v1/ingest", json=[])) == (400, "request_processing_error")
    assert error(client.post("/api/v1/ingest/bulk", json={})) == (400, "request_processing_error")


def test_a_body_above_the_limit_is_refused_whether_its_length_is_told_or_not(client: httpx.Client) -> None:
    def chunks() -> Iterator[bytes]:
        for _ in range(MAX_BODY // 1_048_576):
            yield b" " * 1_048_576
        yield b" "

    assert error(client.post("/api/v1/ingest", content=b" " * (MAX_BODY + 1)))[0] == 413
    assert error(client.post("/api/v1/ingest", content=chunks()))[0] == 413


def test_a_body_that_is_announced_too_large_is_refused_before_it_is_sent(client: httpx.Client) -> None:
    request = (
        f"POST /api/v1/ingest HTTP/1.1\r\nHost: a\r\nxProxy-api-key: secret\r\nContent-Length: {MAX_BODY + 1}\r\n\r\n"
    )
    with socket.create_connection((client.base_url.host, client.base_url.port or 0), timeout=30) as connection:
        connection.sendall(request.encode())
        assert connection.recv(64).startswith(b"HTTP/1.1 413 ")


def test_a_bulk_is_judged_item_by_item(client: httpx.Client) -> None:
    body = client.post("/api/v1/ingest/bulk", json=[CALL, {**CALL, "user_id": 7}]).json()
    assert (body["ingest_count"], body["error_count"], body["total_count"]) == (1, 1, 2)
    assert body["errors"][0]["item_index"] == 1
    assert body["errors"][0]["xproxy_result"]["xproxy_error"]["code"] == "invalid_user_id"
    assert "results" not in body


def test_a_bulk_answers_each_result_to_who_prefers_so(client: httpx.Client) -> None:
    headers = {"Prefer": "return=representation"}
    body = client.post("/api/v1/ingest/bulk", json=[{}, {**CALL, "user_id": "zoë"}], headers=headers).json()
    assert [(result["item_index"], result["xproxy_result"]["user_id"]) for result in body["results"]] == [(1, "zoë")]


def test_a_bulk_without_a_body_is_an_empty_one(client: httpx.Client) -> None:
    response = client.post("/api/v1/ingest/bulk")
    assert (response.status_code, response.json()["total_count"]) == (200, 0)


def test_results_are_found_by_request_id_and_by_an_id_with_awkward_characters(client: httpx.Client) -> None:
    response_id = "a/b c+d:é%2F"
    body = client.post("/api/v1/ingest", json={**CALL, "provider_response_id": response_id}).json()
    path = f"/api/v1/requests/{body['request_id']}/result"
    assert client.get(path).json() == {"xproxy_result": body["xproxy_result"]}
    path = "/api/v1/requests/provider/system.openai/a%2Fb%20c+d:%C3%A9%252F/result"
    assert client.get(path).json() == {"xproxy_result": body["xproxy_result"]}


def test_what_is_not_there_is_answered_in_pay_is_error_form(client: httpx.Client) -> None:
    assert error(client.get("/api/v1/requests/unknown/result"))[0] == 404
    assert error(client.get("/api/v1/requests/provider/system.openai/unknown/result"))[0] == 404
    assert error(client.get("/api/v1/requests//result"))[0] == 404
    assert error(client.get("/api"))[0] == 404
    assert error(client.get("/api/v1/ingest"))[0] == 405


def test_the_app_can_be_mounted_below_a_prefix(ledger: Ledger) -> None:
    with serving(Starlette(routes=[Mount("/pay i", create_app(ledger, api_key="secret"))])) as client:
        assert client.post("/pay%20i/api/v1/ingest", json=CALL, headers=KEY).status_code == 200
        assert client.get("/pay%20i/healthz").status_code == 200


def test_a_property_with_half_a_surrogate_pair_is_kept_and_does_no_harm(client: httpx.Client, ledger: Ledger) -> None:
    content = json.dumps({**CALL, "properties": {"a": "\ud800"}})
    assert client.post("/api/v1/ingest", content=content).status_code == 200
    assert ledger.requests()[0].properties == {"a": "\ud800"}


def test_a_unit_named_with_half_a_surrogate_pair_is_refused_as_no_database_can_store_it(client: httpx.Client) -> None:
    response = client.post("/api/v1/ingest", content=json.dumps({**CALL, "units": {"\ud800": 1}}))
    assert error(response) == (400, "request_processing_error")


def test_a_ledger_that_fails_is_a_503_without_details(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path / "payi.db")
    with serving(create_app(ledger)) as client:
        ledger.close()
        response = client.post("/api/v1/ingest", json=CALL)
    assert error(response) == (503, "unexpected_error")
    assert str(tmp_path) not in response.text


def test_an_unexpected_error_is_a_500_that_tells_nothing_and_logs_no_more_than_its_kind(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(ledger, "book_of", None)
    with serving(create_app(ledger)) as client:
        response = client.post("/api/v1/ingest", json={**CALL, "user_id": "alice@example.org"})
    assert error(response) == (500, "unexpected_error")
    assert [record.getMessage() for record in caplog.records if record.name.startswith("payi_middleware")] == [
        "unexpected TypeError in POST"
    ]


def test_a_client_that_hangs_up_while_sending_is_no_error_of_ours(
    ledger: Ledger, caplog: pytest.LogCaptureFixture
) -> None:
    with serving(create_app(ledger)) as client:
        with socket.create_connection((client.base_url.host, client.base_url.port or 0), timeout=30) as connection:
            connection.sendall(b"POST /api/v1/ingest HTTP/1.1\r\nHost: a\r\nContent-Length: 100\r\n\r\n{")
        assert client.get("/healthz").status_code == 200
    assert [record for record in caplog.records if record.name.startswith("payi_middleware")] == []
    assert ledger.requests() == []
