"""The response headers through the WSGI door."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from threading import Event
from typing import TYPE_CHECKING, Any, Literal

import pytest
from openai import InternalServerError, OpenAI

from payi_middleware import PayiWSGIMiddleware, Settings, parse_headers
from payi_middleware.demo.provider import Provider
from payi_middleware.service.accounts.records import RequestRecord
from tests.doors.conftest import Ask
from tests.doors.wsgi_server import Exchange, environ_of

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

STATUSES = [
    "200 OK",
    "204 No Content",
    "302 Found",
    "304 Not Modified",
    "418 I'm a teapot",
    "500 Internal Server Error",
]


def starting(
    status: str = "200 OK",
    *headers: tuple[str, str],
    before: Callable[[], object] = bool,
    after: Callable[[], object] = bool,
) -> WSGIApplication:
    """Make an app that does something, starts a response, and does something else while it streams."""

    def app(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        before()
        start_response(status, list(headers))
        return pieces()

    def pieces() -> Iterator[bytes]:
        after()
        yield b"piece"

    return app


@pytest.mark.parametrize("status", STATUSES)
def test_responses_of_every_status_carry_what_their_calls_cost(
    status: str, ask: Ask, settings: Settings, records: Callable[[], list[RequestRecord]]
) -> None:
    exchange = Exchange(PayiWSGIMiddleware(starting(status, ("Content-Length", "5"), before=ask), settings))
    exchange.finish()
    summary = parse_headers(exchange.headers)
    (record,) = records()
    assert (summary.calls, summary.status, summary.cost_source) == (1, "final", "payi")
    assert (summary.request_ids, summary.cost) == ((record.request_id,), record.cost)
    assert exchange.status == status
    assert exchange.headers["Content-Length"] == "5"


def test_a_response_without_a_length_is_never_final(ask: Ask, settings: Settings) -> None:
    exchange = Exchange(PayiWSGIMiddleware(starting(before=ask, after=ask), settings))
    assert exchange.finish() == b"piece"
    assert (exchange.headers["X-Payi-Calls"], exchange.headers["X-Payi-Status"]) == ("1", "pending")
    assert parse_headers(exchange.headers).cost is not None


@pytest.mark.parametrize("status", STATUSES)
def test_without_a_call_there_is_a_count_of_zero_and_no_cost(status: str, settings: Settings) -> None:
    exchange = Exchange(PayiWSGIMiddleware(starting(status, ("Content-Length", "5")), settings))
    ours = {name: value for name, value in exchange.headers.items() if name.startswith("x-payi-")}
    assert ours == {"x-payi-calls": "0", "x-payi-status": "final"}


def test_a_failed_call_is_counted_and_leaves_the_apps_own_error_as_it_is(
    ask: Ask, provider: Provider, settings: Settings
) -> None:
    def app(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        try:
            ask(**{"x-stand-in": '{"status": 503}'})
        except InternalServerError:
            start_response("502 Bad Gateway", [("Content-Length", "3")])
        return [b"bad"]

    exchange = Exchange(PayiWSGIMiddleware(app, settings))
    assert exchange.status == "502 Bad Gateway"
    assert (exchange.headers["X-Payi-Calls"], exchange.headers["X-Payi-Status"]) == ("1", "final")


def test_headers_that_are_off_leave_the_response_as_it_is_and_still_report(
    ask: Ask, ledger_path: Path, records: Callable[[], list[RequestRecord]]
) -> None:
    own = (("X-Payi-Cost", "the app's"), ("Content-Length", "5"))
    settings = Settings(ledger=ledger_path, headers="off")
    exchange = Exchange(PayiWSGIMiddleware(starting("200 OK", *own, before=ask), settings))
    assert exchange.headers.multi_items() == [(name.lower(), value) for name, value in own]
    assert len(records()) == 1


def test_a_callable_decides_for_each_request_by_its_environ(ask: Ask, ledger_path: Path) -> None:
    def by_path(environ: Any) -> Literal["summary", "off"]:
        return "off" if environ["PATH_INFO"] == "/public" else "summary"

    app = PayiWSGIMiddleware(starting(before=ask), Settings(ledger=ledger_path, headers=by_path))
    assert "X-Payi-Calls" not in Exchange(app, environ_of("/public")).headers
    assert "X-Payi-Calls" in Exchange(app, environ_of("/internal")).headers


def test_a_callable_that_fails_costs_the_response_nothing_but_the_headers(
    ask: Ask, ledger_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(environ: Any) -> Literal["off"]:
        raise LookupError("secret")

    app = PayiWSGIMiddleware(
        starting("200 OK", ("X-Own", "kept"), before=ask), Settings(ledger=ledger_path, headers=fail)
    )
    exchange = Exchange(app)
    assert exchange.finish() == b"piece"
    assert exchange.headers.multi_items() == [("x-own", "kept")]
    assert [record.message for record in caplog.records] == [
        "A response went out without its X-Payi-* headers: LookupError"
    ]


def test_the_apps_own_values_of_our_headers_are_replaced(ask: Ask, settings: Settings) -> None:
    own = (("X-Payi-Cost", "12"), ("x-payi-anything", "made up"), ("X-Own", "kept"), ("X-Own", "twice"))
    exchange = Exchange(PayiWSGIMiddleware(starting("200 OK", *own, before=ask), settings))
    assert len(exchange.headers.get_list("X-Payi-Cost")) == 1
    assert parse_headers(exchange.headers).cost != 12
    assert "x-payi-anything" not in exchange.headers
    assert exchange.headers.get_list("X-Own") == ["kept", "twice"]


def test_a_response_that_is_started_twice_is_decorated_twice_with_what_is_known_then(
    ask: Ask, settings: Settings
) -> None:
    def app(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        start_response("200 OK", [])
        ask()
        try:
            raise LookupError
        except LookupError:
            start_response("500 Sorry", [], sys.exc_info())
        return []

    exchange = Exchange(PayiWSGIMiddleware(app, settings))
    assert (exchange.status, exchange.headers["X-Payi-Calls"]) == ("500 Sorry", "1")


def test_no_wait_means_no_wait(ask: Ask, ledger_path: Path) -> None:
    released = Event()

    def held(report: dict[str, Any]) -> dict[str, Any]:
        assert released.wait(30)
        return report

    settings = Settings(ledger=ledger_path, header_wait=0.0, redact=held)
    try:
        exchange = Exchange(PayiWSGIMiddleware(starting("200 OK", ("Content-Length", "5"), before=ask), settings))
        assert (exchange.headers["X-Payi-Calls"], exchange.headers["X-Payi-Status"]) == ("1", "pending")
        assert "X-Payi-Cost" not in exchange.headers
    finally:
        released.set()


def test_scripts_of_other_origins_may_read_the_headers_beside_the_apps_own(ask: Ask, settings: Settings) -> None:
    own = (("Access-Control-Expose-Headers", "X-Own, X-Other"), ("access-control-expose-headers", "X-Third"))
    app = PayiWSGIMiddleware(starting("200 OK", *own, before=ask), settings)
    (exposed,) = Exchange(app, environ_of(HTTP_ORIGIN="https://a.example")).headers.get_list(own[0][0])
    names = [name.strip() for name in exposed.split(",")]
    assert names[:3] == ["X-Own", "X-Other", "X-Third"]
    assert {"X-Payi-Calls", "X-Payi-Status", "X-Payi-Cost", "X-Payi-Request-Id"} <= set(names)
    assert len(names) == len(set(names))


def test_an_expose_headers_of_everything_stays(settings: Settings) -> None:
    app = PayiWSGIMiddleware(starting("200 OK", ("Access-Control-Expose-Headers", "*")), settings)
    exchange = Exchange(app, environ_of(HTTP_ORIGIN="https://a.example"))
    assert exchange.headers.get_list("Access-Control-Expose-Headers") == ["*"]


def test_a_request_without_an_origin_exposes_nothing(settings: Settings) -> None:
    assert "Access-Control-Expose-Headers" not in Exchange(PayiWSGIMiddleware(starting(), settings)).headers


def test_a_slow_provider_stream_that_is_still_read_is_not_waited_for(provider: Provider, settings: Settings) -> None:
    client = OpenAI(base_url=provider.openai_url, api_key="none", max_retries=0)
    endless = {"x-stand-in": '{"endless": true}'}

    def app(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        chunks = client.chat.completions.create(
            model="gpt-4o-mini", messages=[{"role": "user", "content": "Hi"}], stream=True, extra_headers=endless
        )
        start_response("200 OK", [])
        with chunks:
            yield next(chunks).id.encode()

    exchange = Exchange(PayiWSGIMiddleware(app, settings))
    exchange.step()
    assert (exchange.headers["X-Payi-Calls"], exchange.headers["X-Payi-Status"]) == ("1", "pending")
    exchange.close()
    client.close()
