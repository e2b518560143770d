"""`payi-middleware serve`, as whoever runs it meets it."""

from __future__ import annotations

import json
import signal
import socket
import threading
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal
from pathlib import Path
from typing import Any

import httpx
import pytest

from payi_middleware.service.ledger import Ledger
from tests.service_command.processes import new_key, run, serving

CALL: dict[str, Any] = {
    "category": "system.openai",
    "resource": "gpt-4o-mini",
    "units": {"text": {"input": 7, "output": 3}},
}
COST = Decimal("0.00000285")
SECRET = "my secret prompt"


def test_a_service_books_for_whoever_has_a_key_and_each_for_itself(database: str) -> None:
    alice, bob = new_key(database, "alice"), new_key(database, "bob")
    with serving(database) as served, served.client(alice) as client:
        booked = client.post("/api/v1/ingest", json={**CALL, "user_id": "u"})
        assert booked.status_code == 200
        path = f"/api/v1/requests/{booked.json()['request_id']}/result"
        assert client.get(path).json() == {"xproxy_result": booked.json()["xproxy_result"]}
        with served.client(bob) as other, served.client("") as nobody, served.client(alice[:-1]) as wrong:
            assert other.get(path).status_code == 404
            refused = [each.get(path) for each in (nobody, wrong)]
        assert [answer.status_code for answer in refused] == [401, 401]
        assert {answer.json()["xproxy_error"]["code"] for answer in refused} == {"invalid_api_key"}


def test_a_key_made_and_revoked_while_the_service_runs_counts_within_seconds(tmp_path: Path) -> None:
    database = f"sqlite:///{tmp_path / 'payi.db'}"
    with serving(database) as served:
        key = new_key(database, "late")
        with served.client(key) as client:
            assert client.post("/api/v1/ingest", json=CALL).status_code == 200
            done = run("keys", "revoke", "late", "--db", database)
            assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
            ended = threading.Event()
            for _ in range(600):
                if client.post("/api/v1/ingest", json=CALL).status_code == 401:
                    break
                ended.wait(0.1)
            else:
                pytest.fail("a revoked key is still let in")


def test_several_services_on_one_database_add_up_exactly(database: str) -> None:
    key = new_key(database, "team")
    with Ledger(database, "team") as ledger:
        ledger.create_limit(limit_name="one", max=1, limit_id="one")
    with serving(database) as first, serving(database) as second:

        def call(number: int) -> int:
            with (first, second)[number % 2].client(key) as client:
                own = {**CALL, "provider_response_id": f"own-{number}", "user_id": str(number % 3)}
                headers = {"xProxy-Limit-IDs": "one"}
                statuses = {client.post("/api/v1/ingest", json=own, headers=headers).status_code}
                same = {**CALL, "provider_response_id": "the same"}
                statuses.add(client.post("/api/v1/ingest", json=same, headers=headers).status_code)
                return statuses.pop() if len(statuses) == 1 else 0

        with ThreadPoolExecutor(16) as pool:
            assert set(pool.map(call, range(200))) == {200}
    with Ledger(database, "team") as ledger:
        totals = ledger.limit("one")["totals"]
    assert totals["requests"]["total"] == 201
    assert totals["cost"]["total"]["base"] == 201 * COST


def test_a_service_that_is_told_to_end_answers_what_it_has_begun_and_leaves_one_file(tmp_path: Path) -> None:
    database = f"sqlite:///{tmp_path / 'payi.db'}"
    key = new_key(database, "alice")
    with serving(database) as served:
        host, port = served.url.removeprefix("http://").split(":")
        body = json.dumps(CALL).encode()
        head = (
            f"POST /api/v1/ingest HTTP/1.1\r\nHost: a\r\nxProxy-api-key: {key}\r\nContent-Length: {len(body)}\r\n\r\n"
        )
        with socket.create_connection((host, int(port)), timeout=60) as connection:
            connection.sendall(head.encode() + body[:10])
            with served.client(key) as client:  # it has come to the other one by now
                assert client.get("/readyz").status_code == 200
            served.process.send_signal(signal.SIGTERM)
            assert served.process.poll() is None
            connection.sendall(body[10:])
            assert connection.recv(12) == b"HTTP/1.1 200"
        assert served.end() in (0, -signal.SIGTERM)
    assert [file.name for file in tmp_path.iterdir()] == ["payi.db"]
    with Ledger(database, "alice") as ledger:
        assert len(ledger.requests()) == 1


def test_the_log_is_json_and_tells_nothing_of_keys_prompts_users_or_ids(tmp_path: Path) -> None:
    database = f"sqlite:///{tmp_path / 'payi.db'}"
    key = new_key(database, "alice")
    with serving(database) as served, served.client(key) as client:
        item = {**CALL, "user_id": "carol@example.org", "provider_request_json": SECRET, "provider_response_id": "r/1"}
        client.post("/api/v1/ingest?id=r%2F1", json=item)
        client.post("/api/v1/ingest", content=f'{{"category": "{SECRET}"')
        client.get("/api/v1/requests/provider/system.openai/r%2F1/result")
        client.get("/api/v1/no/such/carol@example.org")
        served.process.terminate()
        served.end()
        told = json.dumps(served.log)
        for secret in (key, SECRET, "carol", "r/1", "r%2F1"):
            assert secret not in told
        answered = [(line["endpoint"], line["method"], line["status"]) for line in served.log if "endpoint" in line]
    assert answered == [
        ("/api/v1/ingest", "POST", 200),
        ("/api/v1/ingest", "POST", 400),
        ("/api/v1/requests/provider/{category}/{provider_response_id}/result", "GET", 200),
        ("(none)", "GET", 404),
    ]


def test_prometheus_is_told_how_the_service_does_and_nothing_of_who_uses_it(tmp_path: Path) -> None:
    database = f"sqlite:///{tmp_path / 'payi.db'}"
    key = new_key(database, "alice")
    with serving(database) as served, served.client(key) as client:
        client.post("/api/v1/ingest", json={**CALL, "provider_response_id": "r", "user_id": "carol"})
        client.post(
            "/api/v1/ingest/bulk", json=[{**CALL, "provider_response_id": "r"}, CALL, {**CALL, "limit_ids": ["x"]}]
        )
        answer = httpx.get(f"{served.url}/metrics", trust_env=False)
    assert answer.headers["content-type"].startswith("text/plain")
    lines = set(answer.text.splitlines())
    assert {
        'payi_service_booked_total{outcome="booked"} 2.0',
        'payi_service_booked_total{outcome="repeated"} 1.0',
        'payi_service_booked_total{outcome="refused"} 1.0',
        'payi_service_requests_total{endpoint="/api/v1/ingest",method="POST",status="200"} 1.0',
        "payi_service_transaction_events_count 2.0",
        "payi_service_waiting_bookings 0.0",
        "payi_service_database_up 1.0",
    } <= lines
    assert "carol" not in answer.text
    assert "gpt" not in answer.text


def test_a_body_that_is_too_large_is_refused_by_the_bound_that_was_given(tmp_path: Path) -> None:
    database = f"sqlite:///{tmp_path / 'payi.db'}"
    key = new_key(database, "alice")
    with serving(database, "--max-body", "2000") as served, served.client(key) as client:
        fits = client.post("/api/v1/ingest", json={**CALL, "properties": {"a": "x" * 1500}})
        large = client.post("/api/v1/ingest", json={**CALL, "properties": {"a": "x" * 2500}})
    assert (fits.status_code, large.status_code) == (200, 413)


def test_a_proxied_call_is_bounded_as_it_was_told(tmp_path: Path) -> None:
    database = f"sqlite:///{tmp_path / 'payi.db'}"
    key = new_key(database, "alice")
    options = ("--max-proxied-body", "2000", "--provider-timeout", "0.2", "--allow-provider", "127.0.0.1")
    with socket.create_server(("127.0.0.1", 0)) as silent, serving(database, *options) as served:
        headers = {"xProxy-Provider-BaseUri": f"http://127.0.0.1:{silent.getsockname()[1]}"}
        with served.client(key) as client:
            answers = [
                client.post("/api/v1/proxy/openai/v1/chat/completions", json={"model": "x" * size}, headers=headers)
                for size in (2500, 1500)
            ]
    assert [answer.status_code for answer in answers] == [413, 504]


@pytest.mark.parametrize(
    ("option", "value"), [("--provider-timeout", "0"), ("--provider-timeout", "soon"), ("--max-proxied-body", "7")]
)
def test_a_bound_that_is_none_is_refused_at_the_start(option: str, value: str) -> None:
    done = run("serve", option, value)
    assert done.returncode == 2
    assert option in done.stderr


def test_without_a_key_it_says_how_to_make_one(tmp_path: Path) -> None:
    database = f"sqlite:///{tmp_path / 'payi.db'}"
    with serving(database) as served:
        served.process.terminate()
        served.end()
        assert any("keys create NAME" in line["message"] for line in served.log)


@pytest.mark.parametrize(
    ("database", "told"),
    [
        ("mysql://u:secret@host/db", "neither SQLite nor PostgreSQL"),
        ("postgresql://postgres:secret@127.0.0.1:1/test", "Make sure that PostgreSQL runs there"),
        ("sqlite:///{tmp}/file/payi.db", "its directory cannot be made"),
    ],
)
def test_a_database_that_cannot_be_used_is_an_error_that_says_what_to_do(
    tmp_path: Path, database: str, told: str
) -> None:
    (tmp_path / "file").touch()
    for command in (("serve", "--port", "0"), ("keys", "list")):
        done = run(*command, "--db", database.format(tmp=tmp_path))
        assert done.returncode == 1
        assert told in done.stderr
        assert len(done.stderr.splitlines()) == 1
        assert "secret" not in done.stderr


def test_a_port_that_is_taken_is_an_error_that_names_it(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        done = run("serve", "--port", port, "--db", f"sqlite:///{tmp_path / 'payi.db'}")
    assert done.returncode == 1
    assert f"127.0.0.1 port {port}: Address already in use" in done.stderr


def test_a_dashboard_without_sign_in_is_for_hosts_that_only_this_machine_can_reach(tmp_path: Path) -> None:
    done = run("serve", "--host", "0.0.0.0", "--no-sign-in", "--db", f"sqlite:///{tmp_path / 'payi.db'}")
    assert done.returncode == 1
    assert "--no-sign-in needs a --host that only this machine can reach, not 0.0.0.0" in done.stderr


def test_the_embedded_ledger_can_be_looked_at_without_a_key(tmp_path: Path) -> None:
    database = f"sqlite:///{tmp_path / 'payi.db'}"
    with Ledger(database) as ledger:
        ledger.ingest({**CALL, "user_id": "carol"})
    with serving(database, "--no-sign-in") as served:
        assert "carol" in httpx.get(f"{served.url}/", trust_env=False).text
    with serving(database) as served:
        assert httpx.get(f"{served.url}/", trust_env=False).headers["location"] == "/sign-in"
