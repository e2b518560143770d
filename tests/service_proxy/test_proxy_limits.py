"""Limits that refuse calls before the provider is asked."""

from __future__ import annotations

import json
import threading
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import httpx
import pytest
from sqlalchemy import Connection, update

from payi_middleware.service.ledger import Ledger
from payi_middleware.service.store.schema import use_case_definitions as definitions
from tests.transport.bedrock import Bedrock, whole

from .serving import headers, service

CHAT = "/api/v1/proxy/openai/v1/chat/completions"
ASKED = {"model": "gpt-4o-mini", "messages": [{"role": "user", "content": "Hello."}]}
COST = 1000 * 0.15e-6


def completion(number: int) -> dict[str, Any]:
    return {
        "id": f"chatcmpl-{number}",
        "model": "gpt-4o-mini",
        "choices": [],
        "usage": {"prompt_tokens": 1000, "completion_tokens": 0, "total_tokens": 1000},
    }


def completions(count: int) -> list[Any]:
    return [whole(completion(number)) for number in range(count)]


def ask(url: str, provider: str, path: str = CHAT, method: str = "POST", **said: str) -> httpx.Response:
    body = None if method in ("GET", "DELETE") else ASKED
    return httpx.request(
        method, url + path, json=body, headers=headers(f"{provider}/v1", **said), timeout=60, trust_env=False
    )


def states(ledger: Ledger, limit_id: str) -> dict[str, int]:
    counted: dict[str, int] = ledger.limit(limit_id)["totals"]["requests"]
    return {state: count for state, count in counted.items() if count}


def test_a_block_limit_lets_the_crossing_call_through_and_refuses_the_next(ledger: Ledger, scripted: Bedrock) -> None:
    scripted.replies = completions(3)
    for name, kind in (("strict", "block"), ("other", "block"), ("lax", "allow")):
        ledger.create_limit(limit_name=name, limit_id=name, max=1.5 * COST if name == "strict" else 1, limit_type=kind)
    named = {"limit_ids": "strict,other,lax", "use_case_name": "support", "use_case_id": "7", "user_id": "alice"}
    with service(ledger) as url:
        answers = [ask(url, scripted.url, **named) for _ in range(3)]

    results = [answer.json()["xproxy_result"] for answer in answers]
    assert [answer.status_code for answer in answers] == [200, 200, 400]
    assert [result["limits"]["strict"]["state"] for result in results] == ["ok", "overrun", "blocked"]
    assert len(scripted.asked) == 2
    body = answers[2].json()
    assert (body["statusCode"], body["xproxy_error"]["code"]) == (400, "limit_reached")
    refused = body["xproxy_result"]
    assert refused == {
        "request_id": refused["request_id"],
        "resource_id": results[0]["resource_id"],
        "use_case_id": "7",
        "use_case_name": "support",
        "user_id": "alice",
        "limits": {
            "strict": {"state": "blocked"},
            "other": {"state": "blocked_external"},
            "lax": {"state": "blocked_external"},
        },
        "blocked_limit_ids": ["strict"],
    }


def test_a_refused_call_is_on_record_and_counted(ledger: Ledger, scripted: Bedrock) -> None:
    scripted.replies = completions(1)
    ledger.create_limit(limit_name="a", limit_id="a", max=COST, limit_type="block")
    ledger.create_limit(limit_name="b", limit_id="b", max=COST, limit_type="allow")
    with service(ledger) as url:
        for _ in range(3):
            ask(url, scripted.url, limit_ids="a,b")

    assert states(ledger, "a") == {"exceeded": 1, "blocked": 2, "total": 3}
    assert states(ledger, "b") == {"exceeded": 1, "blocked_external": 2, "total": 3}
    blocked = [record for record in ledger.requests() if record.blocked]
    assert [(float(record.cost), record.failed, record.resource) for record in blocked] == [
        (0, False, "gpt-4o-mini")
    ] * 2
    assert ledger.limit("a")["totals"]["cost"]["total"]["base"] == ledger.limit("b")["totals"]["cost"]["total"]["base"]


def test_an_allow_limit_never_refuses(sqlite: Ledger, scripted: Bedrock) -> None:
    scripted.replies = completions(3)
    sqlite.create_limit(limit_name="a", limit_id="a", max=COST / 2)
    with service(sqlite) as url:
        answers = [ask(url, scripted.url, limit_ids="a") for _ in range(3)]

    assert [answer.status_code for answer in answers] == [200] * 3
    assert states(sqlite, "a") == {"overrun": 3, "total": 3}


@pytest.mark.parametrize(
    ("said", "code"),
    [
        ({"limit_ids": "nowhere"}, "invalid_limit_ids"),
        ({"limit_ids": "a,nowhere"}, "invalid_limit_ids"),
        ({"limit_ids": "a,a"}, "duplicate_limit_id"),
        ({"use_case_name": "no name"}, "invalid_use_case_name"),
        ({"request_tags": "a b"}, "invalid_tags"),
        ({"request_properties": "?"}, "invalid_json"),
        ({"use_case_version": "one"}, "request_processing_error"),
    ],
)
def test_what_is_wrong_with_a_call_is_said_before_the_provider_is_asked(
    sqlite: Ledger, scripted: Bedrock, said: dict[str, str], code: str
) -> None:
    scripted.replies = completions(1)
    sqlite.create_limit(limit_name="a", limit_id="a", max=1)
    with service(sqlite) as url:
        answer = ask(url, scripted.url, **said)

    assert (answer.status_code, answer.json()["xproxy_error"]["code"]) == (400, code)
    assert scripted.asked == []
    assert sqlite.requests() == []


def configure(connection: Connection, application_id: int, config: dict[str, Any]) -> None:
    named = definitions.c.application_id == application_id, definitions.c.use_case_name == "support"
    connection.execute(update(definitions).where(*named).values(limit_config=config))


def test_the_limit_of_an_instance_refuses_its_calls_only(ledger: Ledger, scripted: Bedrock) -> None:
    scripted.replies = completions(9)
    with service(ledger) as url:
        ask(url, scripted.url, use_case_name="support", use_case_id="0")
        ledger.write(configure, {"max": COST, "limit_type": "block"})
        answers = [ask(url, scripted.url, use_case_name="support", use_case_id=name) for name in ("1", "1", "2", "2")]

    assert [answer.status_code for answer in answers] == [200, 400, 200, 400]
    refused = answers[1].json()["xproxy_result"]
    (limit_id,) = refused["blocked_limit_ids"]
    assert refused["limits"] == {limit_id: {"state": "blocked"}}
    assert refused["use_case_id"] == "1"


def test_a_limit_that_is_reached_keeps_nobody_from_looking_or_ending_something(
    sqlite: Ledger, scripted: Bedrock
) -> None:
    scripted.replies = completions(9)
    sqlite.create_limit(limit_name="a", limit_id="a", max=COST, limit_type="block")
    base = "/api/v1/proxy/openai/v1"
    with service(sqlite) as url:
        ask(url, scripted.url, limit_ids="a")
        codes = {
            path: ask(url, scripted.url, base + path, method, limit_ids="a").status_code
            for method, path in [
                ("POST", "/batches"),
                ("POST", "/responses"),
                ("POST", "/batches/batch_1/cancel"),
                ("POST", "/threads/thread_1/runs/run_1/cancel"),
            ]
        }

    assert codes == {
        "/batches": 400,
        "/responses": 400,
        "/batches/batch_1/cancel": 200,
        "/threads/thread_1/runs/run_1/cancel": 200,
    }
    assert states(sqlite, "a") == {"exceeded": 1, "blocked": 2, "total": 3}


def test_calls_under_way_may_overshoot_a_limit_and_no_others(ledger: Ledger) -> None:
    """Fifty calls at once, all let through before the first is paid for; then none."""
    count = 50
    arrived = threading.Barrier(count, timeout=120)
    numbers = iter(range(10**6))

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["content-length"]))
            arrived.wait()
            body = json.dumps(completion(next(numbers))).encode()
            self.send_response(200)
            self.send_header("content-type", "application/json")
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the base class's name
            pass

    class Server(ThreadingHTTPServer):
        request_queue_size = 2 * count

    ledger.create_limit(limit_name="a", limit_id="a", max=COST, limit_type="block")
    with Server(("127.0.0.1", 0), Handler) as server, service(ledger) as url:
        server.daemon_threads = True
        thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
        thread.start()
        provider = f"http://127.0.0.1:{server.server_address[1]}"
        with ThreadPoolExecutor(count) as pool:
            first = list(pool.map(lambda _: ask(url, provider, limit_ids="a").status_code, range(count)))
            second = list(pool.map(lambda _: ask(url, provider, limit_ids="a").status_code, range(count)))
        server.shutdown()
        thread.join(10)

    assert first == [200] * count
    assert second == [400] * count
    assert states(ledger, "a") == {"exceeded": 1, "overrun": count - 1, "blocked": count, "total": 2 * count}
    spent = ledger.limit("a")["totals"]["cost"]["total"]["base"]
    assert float(spent) == pytest.approx(count * COST)
