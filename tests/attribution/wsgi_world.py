"""Many users at once, and what must hold afterwards: each provider call is booked for the user its prompt names."""

from __future__ import annotations

import re
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from threading import Event, Thread
from typing import TYPE_CHECKING, Any

import httpx
import waitress

from payi_middleware import parse_headers
from payi_middleware.demo.provider import Provider
from payi_middleware.service.accounts.records import RequestRecord
from payi_middleware.service.ledger import Ledger

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIApplication

USERS = tuple(f"user{number:03}" for number in range(50))
PATIENCE = 30.0
"""Seconds after which a test that hangs fails."""


def prompt(user: str) -> str:
    """Return a prompt that says whom the call is for: the truth that the ledger is compared with."""
    return f"I am {user}"


def named_in(body: Any) -> str:
    """Read whom a provider call was for out of its body."""
    found = re.fullmatch(r"I am (\S+)", str(body["messages"][-1]["content"]))
    assert found is not None, body
    return found[1]


@contextmanager
def under_waitress(app: WSGIApplication) -> Iterator[str]:
    """Serve an app with a thread for each user, on a free port; yields the address."""
    server = waitress.create_server(app, host="127.0.0.1", port=0, threads=len(USERS) + 4)
    stopping = Event()

    def serve() -> None:
        while not stopping.is_set():
            server.asyncore.loop(timeout=30, map=server._map, count=1)

    thread = Thread(target=serve, name="waitress")
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.effective_port}"
    finally:
        stopping.set()
        server.pull_trigger()
        thread.join()
        server.task_dispatcher.shutdown()
        server.asyncore.close_all(server._map)


def ask_as_everybody(url: str, *, header: str = "X-User-ID", **headers: str) -> dict[str, httpx.Response]:
    """Send one request of each user, all under way at once; returns the responses by user.

    Args:
        header: the one that says whose request it is.
        headers: more of them.
    """
    with (
        httpx.Client(trust_env=False, timeout=PATIENCE, limits=httpx.Limits(max_connections=None)) as client,
        ThreadPoolExecutor(len(USERS)) as pool,
    ):
        responses = list(pool.map(lambda user: client.get(url, headers={**headers, header: user}), USERS))
    assert [response.status_code for response in responses] == [200] * len(USERS), responses[0].text
    return dict(zip(USERS, responses, strict=True))


def booked(ledger_path: Path) -> dict[str, RequestRecord]:
    """Return what the ledger holds, by the provider's id of the response."""
    with Ledger(ledger_path) as ledger:
        records = ledger.requests(limit=10_000)
    assert len({record.provider_response_id for record in records}) == len(records)
    return {str(record.provider_response_id): record for record in records}


def assert_everybody_is_charged_for_their_own(provider: Provider, ledger_path: Path, calls: int) -> None:
    """Fail unless every one of `calls` provider calls is booked, for the user whom its prompt names."""
    truth = {str(request.response_id): named_in(request.body) for request in provider.requests}
    assert len(truth) == calls
    charged = {response_id: record.user_id for response_id, record in booked(ledger_path).items()}
    wrong = {key: (truth[key], charged[key]) for key in truth.keys() & charged.keys() if truth[key] != charged[key]}
    unreported = truth.keys() - charged.keys()
    assert (len(wrong), len(unreported), len(charged)) == (0, 0, calls), list(wrong.values())[:5]


def assert_headers_name_only_own_calls(
    responses: dict[str, httpx.Response], ledger_path: Path, calls_each: int
) -> None:
    """Fail unless each user's response headers list exactly this user's requests."""
    by_request_id = {record.request_id: record.user_id for record in booked(ledger_path).values()}
    for user, response in responses.items():
        summary = parse_headers(response.headers)
        assert (summary.calls, len(summary.request_ids)) == (calls_each, calls_each)
        assert {by_request_id[request_id] for request_id in summary.request_ids} == {user}
