"""Providers that do not answer, callers who leave, a ledger that is away: what was used is booked, and once."""

from __future__ import annotations

import json
import socket
import sqlite3
import threading
from pathlib import Path
from typing import Any

import anyio
import httpx
import openai
import pytest
from payi.lib.helpers import payi_openai_url
from sqlalchemy import Connection, delete, text
from starlette.requests import Request

from payi_middleware.providers import Asked, recognise
from payi_middleware.service.accounts.events import Event
from payi_middleware.service.api.keyring import OneKey
from payi_middleware.service.api.service import Call, Service
from payi_middleware.service.app import create_app
from payi_middleware.service.config import ServiceConfig
from payi_middleware.service.ledger import Ledger
from payi_middleware.service.proxy import settling
from payi_middleware.service.proxy.annotating import annotated
from payi_middleware.service.proxy.metering import Metering, checked_event
from payi_middleware.service.proxy.settling import Settlement
from payi_middleware.service.store.schema import limits as limits_table
from tests.transport.bedrock import Bedrock, Reply, whole
from tests.transport.serving import unused_port
from tests.waiting import until

from .serving import KEY, LOCAL, headers, served, service
from .upstreams import SSE, Line, chunked, wire
from .wires import ASKED, CHAT, MESSAGES

TOLD = {
    "id": "c1",
    "model": "gpt-4o-mini",
    "choices": [],
    "usage": {"prompt_tokens": 1000, "completion_tokens": 0, "total_tokens": 1000},
}
JSON = json.dumps(TOLD).encode()
ANSWER = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n%s" % (len(JSON), JSON)


def post(url: str, provider: str, path: str = CHAT.path, content: bytes = ASKED, **said: str) -> httpx.Response:
    priced = headers(provider, PriceAs_Resource="gpt-4o-mini", **said)
    return httpx.post(f"{url}/api/v1/proxy/{path}", content=content, headers=priced, trust_env=False, timeout=60)


def read_until_it_breaks(url: str, provider: str, path: str) -> bytes:
    """Return what comes of a stream until its connection breaks, which it has to."""
    received: list[bytes] = []

    def read() -> None:
        with (
            httpx.Client(base_url=url, trust_env=False, timeout=60) as client,
            client.stream("POST", f"/api/v1/proxy/{path}", content=ASKED, headers=headers(provider)) as response,
        ):
            received.extend(response.iter_raw())

    with pytest.raises(httpx.RemoteProtocolError):
        read()
    return b"".join(received)


def test_a_provider_that_nobody_listens_for_is_a_bad_gateway(ledger: Ledger) -> None:
    ledger.create_limit(limit_name="a", limit_id="a", max=1)
    with unused_port() as port, service(ledger) as url:
        answer = post(url, f"http://127.0.0.1:{port}", limit_ids="a")

    body = answer.json()
    assert (answer.status_code, body["statusCode"], body["xproxy_error"]["code"]) == (502, 502, "provider_error")
    assert body["xproxy_result"]["limits"] == {"a": {"state": "failed"}}
    (record,) = ledger.requests()
    assert (record.failed, record.http_status_code, float(record.cost)) == (True, 299, 0)
    assert record.properties["system.failure"] == "ConnectError"


def test_an_sdk_takes_a_bad_gateway_for_a_servers_error(sqlite: Ledger) -> None:
    with (
        unused_port() as port,
        service(sqlite) as url,
        openai.OpenAI(
            api_key="k",
            base_url=payi_openai_url(url),
            default_headers=headers(f"http://127.0.0.1:{port}"),
            max_retries=0,
        ) as client,
        pytest.raises(openai.InternalServerError, match="could not be reached"),
    ):
        client.embeddings.create(model="text-embedding-3-small", input="a")


def test_a_silent_provider_is_a_gateway_timeout(sqlite: Ledger) -> None:
    config = ServiceConfig(allowed_hosts=("127.0.0.1",), provider_timeout=0.2)
    with wire(Line.wait_until_closed) as provider, service(sqlite, config) as url:
        answer = post(url, provider.url)

    assert (answer.status_code, answer.json()["xproxy_error"]["code"]) == (504, "provider_error")
    assert [record.properties["system.failure"] for record in sqlite.requests()] == ["ReadTimeout"]


def test_a_stream_that_breaks_off_breaks_off_for_the_caller_too_and_is_booked(
    ledger: Ledger, scripted: Bedrock
) -> None:
    scripted.replies = [Reply(list(MESSAGES.events[:4]), content_type="text/event-stream", cut=True)]
    with service(ledger) as url:
        received = read_until_it_breaks(url, scripted.url, MESSAGES.path)

    assert received == b"".join(MESSAGES.events[:4])
    (record,) = ledger.requests()
    assert record.failed
    assert record.properties["system.failure"] == "RemoteProtocolError"
    assert (record.provider_response_id, record.units) == ("msg_1", {"text": {"input": 10, "output": 1}})


def test_what_was_held_back_is_not_lost_when_a_stream_breaks_off(sqlite: Ledger, scripted: Bedrock) -> None:
    scripted.replies = [Reply(list(CHAT.events[:5]), content_type="text/event-stream", cut=True)]
    with service(sqlite) as url:
        received = read_until_it_breaks(url, scripted.url, CHAT.path)

    assert received == b"".join(CHAT.events[:5])


def test_an_answer_that_breaks_off_is_a_bad_gateway_and_booked_with_what_was_seen(
    sqlite: Ledger, scripted: Bedrock
) -> None:
    scripted.replies = [Reply([JSON], content_type="application/json", chunked=False, cut=True)]
    with service(sqlite) as url:
        answer = post(url, scripted.url)

    assert (answer.status_code, answer.json()["xproxy_error"]["code"]) == (502, "provider_error")
    (record,) = sqlite.requests()
    assert record.failed
    assert record.units == {"text": {"input": 1000, "output": 0}}


def test_a_caller_who_leaves_in_a_stream_closes_the_providers_and_pays_for_what_was_seen(ledger: Ledger) -> None:
    closed = threading.Event()

    def act(line: Line) -> None:
        line.send(SSE + chunked(b"".join(MESSAGES.events[:4])))
        line.wait_until_closed()
        closed.set()

    with wire(act) as provider, service(ledger) as url:
        with (
            httpx.Client(base_url=url, trust_env=False, timeout=60) as client,
            client.stream(
                "POST", f"/api/v1/proxy/{MESSAGES.path}", content=ASKED, headers=headers(provider.url)
            ) as response,
        ):
            assert next(response.iter_raw()).startswith(b"event: message_start")
        assert closed.wait(60)
        (record,) = until(ledger.requests)

    assert not record.failed
    assert record.units == {"text": {"input": 10, "output": 1}}
    assert record.properties["system.stream"] == "ended before the provider's last event"


def test_a_caller_who_leaves_before_the_answer_closes_the_providers_connection(sqlite: Ledger) -> None:
    arrived, closed = threading.Event(), threading.Event()

    def act(line: Line) -> None:
        arrived.set()
        line.wait_until_closed()
        closed.set()

    with wire(act) as provider, service(sqlite) as url:
        host = httpx.URL(url)
        with socket.create_connection((host.host, host.port)) as caller:
            said = {"host": "x", "content-length": str(len(ASKED)), **headers(provider.url)}
            lines = [f"POST /api/v1/proxy/{CHAT.path} HTTP/1.1", *(f"{name}: {said[name]}" for name in said)]
            caller.sendall("\r\n".join([*lines, "", ""]).encode() + ASKED)
            assert arrived.wait(60)
        assert closed.wait(60)
        (record,) = until(sqlite.requests)

    assert (record.failed, record.properties["system.failure"]) == (True, "ClientDisconnect")


def test_a_service_that_stops_books_what_its_callers_have_used(sqlite: Ledger) -> None:
    def act(line: Line) -> None:
        line.send(SSE + chunked(MESSAGES.events[0]))
        line.wait_until_closed()

    app = create_app(sqlite, api_key=KEY, config=LOCAL)
    with wire(act) as provider, httpx.Client(trust_env=False, timeout=60) as client:
        with served(app, graceful=0) as url:
            stream = client.stream(
                "POST", f"{url}/api/v1/proxy/{MESSAGES.path}", content=ASKED, headers=headers(provider.url)
            )
            response = stream.__enter__()
            assert next(response.iter_raw()) == MESSAGES.events[0]
        response.close()

    (record,) = sqlite.requests()
    assert record.units == {"text": {"input": 10, "output": 1}}


def test_what_is_owed_when_the_service_ends_is_booked(sqlite: Ledger) -> None:
    """However long a cancelled call takes to end."""
    match = recognise("POST", "api.openai.com", None, "/v1/chat/completions", {})
    assert match is not None
    said = annotated({})

    async def ending() -> None:
        service = Service(sqlite, OneKey(1, None), LOCAL)
        metering = Metering(
            match, Asked("gpt-4o-mini"), said, checked_event(said, match.category, "m"), "https://x", None
        )
        Settlement(Call(service, Request({"type": "http"}), sqlite), metering)
        await service.leave()
        service.close()

    anyio.run(ending)

    assert [record.resource for record in sqlite.requests()] == ["gpt-4o-mini"]


def drop_limit(connection: Connection, application_id: int, limit_id: str) -> None:
    connection.execute(
        delete(limits_table).where(limits_table.c.application_id == application_id, limits_table.c.limit_id == limit_id)
    )


def test_a_call_is_booked_although_its_limit_was_deleted_meanwhile(ledger: Ledger) -> None:
    for name in ("a", "b"):
        ledger.create_limit(limit_name=name, limit_id=name, max=1)

    def act(line: Line) -> None:
        ledger.write(drop_limit, "a")
        line.send(ANSWER)

    with wire(act) as provider, service(ledger) as url:
        answer = post(url, provider.url, limit_ids="a,b")

    assert answer.json()["xproxy_result"]["limits"] == {"b": {"state": "ok"}}
    assert [record.cost > 0 for record in ledger.requests()] == [True]


def test_an_answer_does_not_wait_for_long_for_its_result(
    sqlite: Ledger, tmp_path: Path, scripted: Bedrock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(settling, "_HELD_FOR", 0.1)
    scripted.replies = [whole(TOLD)]
    other = sqlite3.connect(tmp_path / "payi.db", isolation_level=None)
    with service(sqlite) as url:
        other.execute("BEGIN IMMEDIATE")
        answer = post(url, scripted.url)
        assert (answer.status_code, answer.json()) == (200, TOLD)
        assert sqlite.requests() == []
        other.execute("ROLLBACK")
        other.close()
        (record,) = until(sqlite.requests)

    assert record.provider_response_id == "c1"


def rename(connection: Connection, _application_id: int, old: str, new: str) -> None:
    connection.execute(text(f"ALTER TABLE {old} RENAME TO {new}"))


def test_what_the_ledger_does_not_take_is_booked_later(
    sqlite: Ledger, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    attempts: list[Any] = []

    async def book(call: Call, event: Event) -> Any:
        attempts.append(event)
        return await really(call, event)

    really = settling.book
    monkeypatch.setattr(settling, "book", book)
    monkeypatch.setattr(settling, "_AGAIN_AFTER", (0.05,) * 1000)

    def act(line: Line) -> None:
        sqlite.write(rename, "payi_names", "away")
        line.send(ANSWER)

    with wire(act) as provider, service(sqlite) as url:
        answer = post(url, provider.url)
        assert (answer.status_code, answer.json()) == (200, TOLD)
        assert "not booked yet" in caplog.text
        assert until(lambda: len(attempts) > 2)
        sqlite.write(rename, "away", "payi_names")
        (record,) = until(sqlite.requests)

    assert record.cost > 0


def test_without_a_ledger_no_call_that_has_limits_is_made(sqlite: Ledger, scripted: Bedrock) -> None:
    sqlite.create_limit(limit_name="a", limit_id="a", max=1)
    with service(sqlite) as url:
        sqlite.write(rename, "payi_limits", "away")
        answer = post(url, scripted.url, limit_ids="a")

    assert answer.status_code == 503
    assert scripted.asked == []
