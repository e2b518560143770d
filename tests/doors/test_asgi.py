"""The ASGI door: what servers, apps and clients see of it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from threading import Event
from typing import Any, Literal

import anyio
import anyio.to_thread
import pytest
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.base import BaseHTTPMiddleware, RequestResponseEndpoint
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response, StreamingResponse
from starlette.routing import Mount, Route
from starlette.testclient import TestClient

from payi_middleware import PayiMiddleware, Settings, Summary, get_context, parse_headers
from payi_middleware.asgi import SCOPE_KEY
from payi_middleware.context import current_frame
from payi_middleware.exceptions import ConfigurationError
from payi_middleware.service.accounts.records import RequestRecord
from tests.doors.asgi_server import headers_of, http_scope, ours_in, serve, websocket_scope
from tests.doors.conftest import Ask

Records = Callable[[], list[RequestRecord]]
LENGTH = (b"content-length", b"2")


def starting(
    status: int = 200, *headers: tuple[bytes, bytes], before: Callable[[], object] = bool, after: Any = bool
) -> Any:
    """Make an app that does something, starts a response, and does something else before its body's end."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await anyio.to_thread.run_sync(before)
        await send({"type": "http.response.start", "status": status, "headers": list(headers)})
        await send({"type": "http.response.body", "body": b"o", "more_body": True})
        await anyio.to_thread.run_sync(after)
        await send({"type": "http.response.body", "body": b"k"})

    return app


# --- headers --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("status", [200, 204, 302, 304, 404, 418, 500, 503])
def test_responses_of_every_status_carry_what_their_calls_cost(
    status: int, ask: Ask, settings: Settings, records: Records
) -> None:
    start, *body = serve(PayiMiddleware(starting(status, LENGTH, before=ask), settings), http_scope())
    summary = parse_headers(headers_of(start))
    (record,) = records()
    assert (start["status"], summary.calls, summary.status) == (status, 1, "final")
    assert (summary.request_ids, summary.cost) == ((record.request_id,), record.cost)
    assert b"".join(message["body"] for message in body) == b"ok"


def test_a_response_without_a_length_is_never_final_and_what_is_called_later_is_booked(
    ask: Ask, settings: Settings, records: Records
) -> None:
    scope = http_scope("/", ("X-User-ID", "alice"))
    start, *_ = serve(PayiMiddleware(starting(before=ask, after=ask), settings), scope)
    assert (headers_of(start)["X-Payi-Calls"], headers_of(start)["X-Payi-Status"]) == ("1", "pending")
    assert [record.user_id for record in records()] == ["alice"] * 2


@pytest.mark.parametrize("status", [200, 404, 500])
def test_without_a_call_there_is_a_count_of_zero_and_no_cost(status: int, settings: Settings) -> None:
    start, *_ = serve(PayiMiddleware(starting(status, LENGTH), settings), http_scope())
    headers = headers_of(start)
    assert {name: headers[name] for name in ours_in(headers)} == {"x-payi-calls": "0", "x-payi-status": "final"}


def test_headers_that_are_off_leave_the_message_as_it_is_and_still_report(
    ask: Ask, ledger_path: Path, records: Records
) -> None:
    sent: list[Any] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await anyio.to_thread.run_sync(ask)
        sent.append({"type": "http.response.start", "status": 200, "headers": [(b"x-payi-cost", b"own")], "more": 1})
        await send(sent[0])

    (start,) = serve(PayiMiddleware(app, Settings(ledger=ledger_path, headers="off")), http_scope())
    assert start is sent[0]
    assert start["headers"] == [(b"x-payi-cost", b"own")]
    assert len(records()) == 1


def test_a_callable_decides_for_each_request_by_its_scope(ask: Ask, ledger_path: Path) -> None:
    def by_path(scope: Any) -> Literal["summary", "off"]:
        return "off" if scope["path"] == "/public" else "summary"

    app = PayiMiddleware(starting(before=ask), Settings(ledger=ledger_path, headers=by_path))
    assert not ours_in(headers_of(serve(app, http_scope("/public"))[0]))
    assert ours_in(headers_of(serve(app, http_scope("/internal"))[0]))


def test_a_callable_that_fails_costs_the_response_nothing_but_the_headers(
    ledger_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(scope: Any) -> Literal["off"]:
        raise LookupError("secret")

    app = PayiMiddleware(starting(200, (b"x-own", b"kept")), Settings(ledger=ledger_path, headers=fail))
    start, *body = serve(app, http_scope())
    assert (start["headers"], len(body)) == ([(b"x-own", b"kept")], 2)
    assert [line.message for line in caplog.records] == [
        "A response went out without its X-Payi-* headers: LookupError"
    ]


def test_the_apps_own_values_of_our_headers_are_replaced(ask: Ask, settings: Settings) -> None:
    own = ((b"X-Payi-Cost", b"12"), (b"x-payi-anything", b"made up"), (b"x-own", b"a"), (b"x-own", b"b"))
    headers = headers_of(serve(PayiMiddleware(starting(200, *own, before=ask), settings), http_scope())[0])
    assert len(headers.get_list("x-payi-cost")) == 1
    assert parse_headers(headers).cost != 12
    assert "x-payi-anything" not in headers
    assert headers.get_list("x-own") == ["a", "b"]


def test_no_wait_means_no_wait(ask: Ask, ledger_path: Path) -> None:
    released = Event()

    def held(report: dict[str, Any]) -> dict[str, Any]:
        assert released.wait(30)
        return report

    try:
        app = PayiMiddleware(
            starting(200, LENGTH, before=ask), Settings(ledger=ledger_path, header_wait=0.0, redact=held)
        )
        headers = headers_of(serve(app, http_scope())[0])
        assert (headers["X-Payi-Calls"], headers["X-Payi-Status"]) == ("1", "pending")
        assert "X-Payi-Cost" not in headers
    finally:
        released.set()


def test_scripts_of_other_origins_may_read_the_headers_beside_the_apps_own(ask: Ask, settings: Settings) -> None:
    app = PayiMiddleware(starting(200, (b"access-control-expose-headers", b"X-Own"), before=ask), settings)
    headers = headers_of(serve(app, http_scope("/", ("Origin", "https://a.example")))[0])
    (exposed,) = headers.get_list("access-control-expose-headers")
    assert {"X-Own", "X-Payi-Calls", "X-Payi-Cost", "X-Payi-Request-Id"} <= set(exposed.split(", "))
    assert headers_of(serve(app, http_scope())[0])["access-control-expose-headers"] == "X-Own"


# --- messages -------------------------------------------------------------------------------------------------------


def test_messages_keep_their_order_and_only_the_start_of_the_response_is_changed(settings: Settings) -> None:
    told: list[dict[str, Any]] = [
        {"type": "http.response.debug", "info": {}},
        {"type": "http.response.start", "status": 200, "headers": [], "trailers": True},
        {"type": "http.response.push", "path": "/other", "headers": []},
        {"type": "http.response.body", "body": b"", "more_body": False},
        {"type": "http.response.trailers", "headers": [], "more_trailers": False},
    ]

    async def app(scope: Any, receive: Any, send: Any) -> None:
        for message in told:
            await send(message)

    sent = serve(PayiMiddleware(app, settings), http_scope())
    assert [message["type"] for message in sent] == [message["type"] for message in told]
    assert all(message is own for message, own in zip(sent, told, strict=True) if "start" not in message["type"])
    assert {**sent[1], "headers": []} == told[1]
    assert told[1]["headers"] == []


def test_websocket_messages_are_untouched_and_its_calls_are_booked(
    ask: Ask, settings: Settings, records: Records
) -> None:
    told = [
        {"type": "websocket.accept", "subprotocol": None, "headers": []},
        {"type": "websocket.send", "text": "hello"},
        {"type": "websocket.close", "code": 1000},
    ]

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await anyio.to_thread.run_sync(ask)
        for message in told:
            await send(message)

    sent = serve(PayiMiddleware(app, settings), websocket_scope(("X-User-ID", "alice")), {"type": "websocket.connect"})
    assert all(message is own for message, own in zip(sent, told, strict=True))
    assert [record.user_id for record in records()] == ["alice"]


def test_a_websocket_that_is_refused_with_a_response_carries_the_headers(ask: Ask, settings: Settings) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await anyio.to_thread.run_sync(ask)
        await send({"type": "websocket.http.response.start", "status": 403, "headers": [LENGTH]})
        await send({"type": "websocket.http.response.body", "body": b"no"})

    start, body = serve(PayiMiddleware(app, settings), websocket_scope(), {"type": "websocket.connect"})
    assert (start["status"], headers_of(start)["X-Payi-Calls"], body["body"]) == (403, "1", b"no")


def test_other_scopes_are_passed_on_as_they_are(settings: Settings) -> None:
    seen: list[Any] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        seen.append((scope, receive, send))

    given: tuple[Any, Any, Any] = ({"type": "something.else"}, object(), object())
    anyio.run(PayiMiddleware(app, settings), *given)
    assert all(one is other for one, other in zip(seen[0], given, strict=True))


def test_exceptions_of_the_app_go_through_unchanged_and_end_the_request(settings: Settings) -> None:
    def fail() -> None:
        raise failure

    failure, scope = LookupError("the app's own"), http_scope()
    with pytest.raises(LookupError) as raised:
        serve(PayiMiddleware(starting(before=fail), settings), scope)
    assert raised.value is failure
    assert scope[SCOPE_KEY].closed


def test_nothing_is_in_force_in_the_servers_task_after_a_request(settings: Settings) -> None:
    async def receive() -> Any:
        await anyio.sleep_forever()

    async def send(message: Any) -> None:
        pass

    async def one_after_another() -> list[object]:
        app = PayiMiddleware(starting(), settings)
        left: list[object] = [current_frame()]
        for _ in range(2):
            await app(http_scope(), receive, send)
            left.append(current_frame())
        return left

    assert anyio.run(one_after_another) == [None] * 3


# --- within apps ----------------------------------------------------------------------------------------------------


def app_with(ask: Ask, *middleware: Middleware) -> Starlette:
    """Make an app of Starlette that asks in plain, streamed and empty responses."""

    def plain(request: Request) -> Response:
        ask()
        return PlainTextResponse(str(request.state.payi.summary().calls))

    def streamed(request: Request) -> Response:
        return StreamingResponse(ask() for _ in range(2))

    def annotated(request: Request) -> Response:
        request.state.payi.annotate(user_id="bob")
        return plain(request)

    async def last(request: Request) -> Response:
        before = get_context().last_result
        await anyio.to_thread.run_sync(ask)
        return PlainTextResponse(str(before))

    routes = [
        Route("/plain", plain),
        Route("/streamed", streamed),
        Route("/annotated", annotated),
        Route("/last", last),
    ]
    return Starlette(routes=[*routes, Mount("/mounted", routes=routes)], middleware=middleware)


@pytest.mark.parametrize("path", ["/plain", "/mounted/plain"])
def test_the_scope_is_in_the_requests_state(path: str, ask: Ask, settings: Settings) -> None:
    client = TestClient(app_with(ask, Middleware(PayiMiddleware, settings=settings)))
    assert [client.get(path).text for _ in range(2)] == ["1", "1"]


def test_what_the_state_annotates_is_booked(ask: Ask, settings: Settings, records: Records) -> None:
    client = TestClient(app_with(ask, Middleware(PayiMiddleware, settings=settings)), client=("127.0.0.1", 5000))
    client.get("/annotated", headers={"X-User-ID": "alice"})
    assert [record.user_id for record in records()] == ["bob"]


def test_the_last_result_is_this_requests_own(ask: Ask, settings: Settings) -> None:
    client = TestClient(app_with(ask, Middleware(PayiMiddleware, settings=settings)))
    assert [client.get("/last").text for _ in range(2)] == ["None", "None"]


def test_added_twice_and_in_a_mounted_app_it_counts_once(ask: Ask, settings: Settings, records: Records) -> None:
    one = Middleware(PayiMiddleware, settings=settings)
    app = PayiMiddleware(Starlette(routes=[Mount("/sub", app=app_with(ask, one, one))]), settings)
    assert TestClient(app).get("/sub/plain").headers.get_list("X-Payi-Calls") == ["1"]
    assert len(records()) == 1


class Touching(BaseHTTPMiddleware):
    """A middleware of the app that sees the request and the response."""

    async def dispatch(self, request: Request, call_next: RequestResponseEndpoint) -> Response:
        request.state.payi_seen = hasattr(request.state, "payi")
        response = await call_next(request)
        response.headers["X-Touched"] = str(request.state.payi_seen)
        return response


@pytest.mark.parametrize("outside", [True, False], ids=["outside", "inside"])
@pytest.mark.parametrize(("path", "calls"), [("/plain", 1), ("/streamed", 2)])
def test_a_base_http_middleware_outside_or_inside_changes_nothing(
    outside: bool, path: str, calls: int, ask: Ask, settings: Settings, records: Records
) -> None:
    order = [Middleware(Touching), Middleware(PayiMiddleware, settings=settings)]
    app = app_with(ask, *(order if outside else reversed(order)))
    response = TestClient(app, client=("127.0.0.1", 5000)).get(path, headers={"X-User-ID": "alice"})
    assert response.headers["X-Touched"] == str(not outside)
    assert response.headers["X-Payi-Calls"] == ("1" if path == "/plain" else "0")
    assert [record.user_id for record in records()] == ["alice"] * calls


def test_a_head_request_is_answered_as_the_get_but_for_the_body(ask: Ask, settings: Settings) -> None:
    response = TestClient(app_with(ask, Middleware(PayiMiddleware, settings=settings))).head("/plain")
    assert (response.content, response.headers["X-Payi-Calls"], response.headers["X-Payi-Status"]) == (
        b"",
        "1",
        "final",
    )


def test_turned_off_it_passes_everything_through(ask: Ask, ledger_path: Path) -> None:
    scope = http_scope()
    app = PayiMiddleware(starting(before=ask), Settings(enabled=False, ledger=ledger_path))
    start, *_ = serve(app, scope)
    assert not start["headers"]
    assert SCOPE_KEY not in scope
    assert not ledger_path.exists()


def test_a_wrong_setting_is_an_error_at_construction(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PAYI_HEADER_WAIT", "soon")
    with pytest.raises(ConfigurationError, match="PAYI_HEADER_WAIT"):
        PayiMiddleware(starting())


def test_turned_off_it_still_gives_handlers_a_scope_to_use(settings: Settings) -> None:
    seen: list[Summary] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        scope["state"]["payi"].annotate(user_id="alice")
        seen.append(scope["state"]["payi"].summary())
        await starting(200, LENGTH)(scope, receive, send)

    start, *_ = serve(PayiMiddleware(app, settings.model_copy(update={"enabled": False})), http_scope())
    assert seen == [Summary()]
    assert ours_in(headers_of(start)) == []


@pytest.mark.parametrize("status", [204, 304])
def test_a_response_that_has_no_body_is_final_without_a_length(status: int, settings: Settings) -> None:
    start, *_ = serve(PayiMiddleware(starting(status), settings), http_scope())
    assert headers_of(start)["X-Payi-Status"] == "final"
