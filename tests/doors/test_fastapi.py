"""`instrument_app`: the middleware around everything else of a FastAPI or Starlette app."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Annotated, Any

import httpx
import pytest
from fastapi import Depends, FastAPI, HTTPException, Request
from fastapi.responses import StreamingResponse
from starlette.applications import Starlette
from starlette.middleware.base import BaseHTTPMiddleware, RequestResponseEndpoint
from starlette.middleware.cors import CORSMiddleware
from starlette.responses import Response
from starlette.testclient import TestClient

from payi_middleware import PayiMiddleware, Settings, parse_headers
from payi_middleware.context import RequestScope
from payi_middleware.exceptions import ConfigurationError
from payi_middleware.fastapi import instrument_app
from payi_middleware.service.accounts.records import RequestRecord
from tests.doors.asgi_server import ours_in
from tests.doors.conftest import Ask

Records = Callable[[], list[RequestRecord]]
ORIGIN = "https://a.example"
PREFLIGHT = {"Origin": ORIGIN, "Access-Control-Request-Method": "POST"}


def payi_of(request: Request) -> RequestScope:
    scope: RequestScope = request.state.payi
    return scope


def account_of(scope: Annotated[RequestScope, Depends(payi_of)]) -> None:
    scope.annotate(account_name="acme")


@pytest.fixture
def app(ask: Ask) -> FastAPI:
    """An app whose every endpoint makes one provider call, but for one."""
    made = FastAPI()

    @made.get("/plain", dependencies=[Depends(account_of)])
    def plain() -> str:
        return ask()

    @made.get("/stream")
    def stream() -> StreamingResponse:
        return StreamingResponse(ask() for _ in range(2))

    @made.get("/status/{status}")
    def status(status: int) -> str:
        ask()
        raise HTTPException(status)

    @made.get("/fail")
    def fail() -> str:
        ask()
        raise LookupError("the app's own")

    @made.get("/count/{number}")
    def nothing(number: int) -> int:
        return number

    return made


def client_of(app: Any) -> TestClient:
    return TestClient(app, raise_server_exceptions=False, client=("127.0.0.1", 5000))


def exposed(response: httpx.Response | Any) -> list[str]:
    """Return the names that scripts of another origin may read."""
    values = response.headers.get_list("access-control-expose-headers")
    assert len(values) <= 1
    return [name.strip() for name in ",".join(values).split(",") if name]


# --- headers --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("path", "status"),
    [("/plain", 200), ("/fail", 500), ("/status/401", 401), ("/status/418", 418), ("/status/503", 503)],
)
def test_responses_of_every_status_carry_what_their_calls_cost(
    path: str, status: int, app: FastAPI, settings: Settings, records: Records
) -> None:
    instrument_app(app, settings)
    response = client_of(app).get(path)
    summary = parse_headers(response.headers)
    (record,) = records()
    assert response.status_code == status
    assert (summary.calls, summary.status) == (1, "final")
    assert (summary.request_ids, summary.cost) == ((record.request_id,), record.cost)


@pytest.mark.parametrize(("path", "status"), [("/count/1", 200), ("/count/many", 422), ("/no-such-page", 404)])
def test_without_a_call_there_is_a_count_of_zero_and_no_cost(
    path: str, status: int, app: FastAPI, settings: Settings
) -> None:
    instrument_app(app, settings)
    response = client_of(app).get(path)
    assert response.status_code == status
    assert {name: response.headers[name] for name in ours_in(response.headers)} == {
        "x-payi-calls": "0",
        "x-payi-status": "final",
    }


def test_a_streamed_response_is_pending_and_its_calls_are_booked(
    app: FastAPI, settings: Settings, records: Records
) -> None:
    instrument_app(app, settings)
    response = client_of(app).get("/stream", headers={"X-User-ID": "alice"})
    assert response.headers["X-Payi-Status"] == "pending"
    assert [record.user_id for record in records()] == ["alice"] * 2


def test_an_unhandled_error_still_reaches_the_server(app: FastAPI, settings: Settings) -> None:
    instrument_app(app, settings)
    with pytest.raises(LookupError, match="the app's own"):
        TestClient(app).get("/fail")


def test_what_a_dependency_annotates_is_booked(app: FastAPI, settings: Settings, records: Records) -> None:
    instrument_app(app, settings)
    client_of(app).get("/plain", headers={"X-User-ID": "alice"})
    assert [(record.user_id, record.account_name) for record in records()] == [("alice", "acme")]


# --- setting up -----------------------------------------------------------------------------------------------------


def test_instrumenting_an_app_twice_changes_nothing(app: FastAPI, settings: Settings, records: Records) -> None:
    instrument_app(app, settings)
    build = app.build_middleware_stack
    instrument_app(app, settings)
    assert app.build_middleware_stack is build
    assert client_of(app).get("/plain").headers.get_list("X-Payi-Calls") == ["1"]
    assert len(records()) == 1


def test_an_app_that_has_served_already_can_be_instrumented(app: FastAPI, settings: Settings) -> None:
    client = client_of(app)
    assert not ours_in(client.get("/count/1").headers)
    instrument_app(app, settings)
    assert client.get("/plain").headers["X-Payi-Calls"] == "1"
    assert client.get("/fail").headers["X-Payi-Calls"] == "1"


def test_an_app_that_adds_the_middleware_too_counts_once(app: FastAPI, settings: Settings, records: Records) -> None:
    app.add_middleware(PayiMiddleware, settings=settings)
    instrument_app(app, settings)
    assert client_of(app).get("/fail").headers.get_list("X-Payi-Calls") == ["1"]
    assert len(records()) == 1


def test_a_base_http_middleware_of_the_app_changes_nothing(app: FastAPI, settings: Settings, records: Records) -> None:
    class Touching(BaseHTTPMiddleware):
        async def dispatch(self, request: Request, call_next: RequestResponseEndpoint) -> Response:
            return await call_next(request)

    instrument_app(app, settings)
    app.add_middleware(Touching)
    client = client_of(app)
    headers = {"X-User-ID": "alice"}
    assert [client.get(path, headers=headers).headers["X-Payi-Calls"] for path in ("/plain", "/fail")] == ["1", "1"]
    assert [record.user_id for record in records()] == ["alice"] * 2


def test_a_wrong_setting_or_identity_is_an_error_at_once(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ConfigurationError, match="identity"):
        instrument_app(Starlette(), settings, identity=["X-User-ID"])  # type: ignore[list-item]
    monkeypatch.setenv("PAYI_HEADER_WAIT", "soon")
    with pytest.raises(ConfigurationError, match="PAYI_HEADER_WAIT"):
        instrument_app(Starlette())


def test_turned_off_the_app_is_as_without_it(app: FastAPI, ledger_path: Any) -> None:
    instrument_app(app, Settings(enabled=False, ledger=ledger_path))
    response = client_of(app).get("/status/418")
    assert response.status_code == 418
    assert not ours_in(response.headers)
    assert not ledger_path.exists()


# --- other origins --------------------------------------------------------------------------------------------------


def add_cors(app: FastAPI, expose: Sequence[str] = ("X-Own",)) -> None:
    app.add_middleware(CORSMiddleware, allow_origins=[ORIGIN], allow_credentials=True, expose_headers=expose)


def instrument_last(app: FastAPI, settings: Settings) -> None:
    add_cors(app)
    instrument_app(app, settings)


def instrument_first(app: FastAPI, settings: Settings) -> None:
    instrument_app(app, settings)
    add_cors(app)


def with_the_middleware_inside(app: FastAPI, settings: Settings) -> None:
    app.add_middleware(PayiMiddleware, settings=settings)
    instrument_app(app, settings)
    add_cors(app)


def with_the_middleware_outside(app: FastAPI, settings: Settings) -> None:
    add_cors(app)
    app.add_middleware(PayiMiddleware, settings=settings)
    instrument_app(app, settings)


def instrument_a_built_one(app: FastAPI, settings: Settings) -> None:
    add_cors(app)
    client_of(app).get("/count/1")
    instrument_app(app, settings)


ORDERS = [
    instrument_last,
    instrument_first,
    with_the_middleware_inside,
    with_the_middleware_outside,
    instrument_a_built_one,
]


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("path", ["/plain", "/status/403", "/fail"])
def test_scripts_of_an_allowed_origin_may_read_the_headers_whatever_the_order(
    path: str, order: Callable[[FastAPI, Settings], None], app: FastAPI, settings: Settings
) -> None:
    order(app, settings)
    response = client_of(app).get(path, headers={"Origin": ORIGIN})
    assert response.headers.get_list("access-control-allow-origin") == [ORIGIN]
    assert response.headers.get_list("access-control-allow-credentials") == ["true"]
    assert {"X-Own", "X-Payi-Calls", "X-Payi-Status", "X-Payi-Cost"} <= set(exposed(response))
    assert set(ours_in(response.headers)) <= {name.lower() for name in exposed(response)}


@pytest.mark.parametrize("path", ["/plain", "/fail"])
def test_another_origin_is_not_let_in(path: str, app: FastAPI, settings: Settings) -> None:
    instrument_last(app, settings)
    response = client_of(app).get(path, headers={"Origin": "https://evil.example"})
    assert "access-control-allow-origin" not in response.headers


@pytest.mark.parametrize("path", ["/plain", "/fail"])
def test_an_expose_headers_of_everything_stays(path: str, app: FastAPI, settings: Settings) -> None:
    add_cors(app, ["*"])
    instrument_app(app, settings)
    assert exposed(client_of(app).get(path, headers={"Origin": ORIGIN})) == ["*"]


def test_an_app_without_a_cors_policy_is_given_none(app: FastAPI, settings: Settings) -> None:
    instrument_app(app, settings)
    response = client_of(app).get("/fail", headers={"Origin": ORIGIN})
    assert "access-control-allow-origin" not in response.headers


def test_a_request_without_an_origin_is_told_nothing_of_it_when_it_fails(app: FastAPI, settings: Settings) -> None:
    instrument_last(app, settings)
    response = client_of(app).get("/fail")
    assert not [name for name in response.headers if name.startswith("access-control-")]


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("origin", [ORIGIN, "https://evil.example"])
def test_a_preflight_is_answered_as_without_us(
    origin: str, order: Callable[[FastAPI, Settings], None], app: FastAPI, settings: Settings
) -> None:
    bare = FastAPI()
    add_cors(bare)
    order(app, settings)
    asked = {**PREFLIGHT, "Origin": origin}
    answers = [client_of(one).options("/plain", headers=asked) for one in (bare, app)]
    own = [
        {
            name: value
            for name, value in answer.headers.items()
            if not name.startswith("x-payi-") and name != "access-control-expose-headers"
        }
        for answer in answers
    ]
    assert own[0] == own[1]
    assert (answers[0].status_code, answers[0].text) == (answers[1].status_code, answers[1].text)


def test_a_policy_that_is_a_subclass_of_starlettes_holds_for_errors_too(app: FastAPI, settings: Settings) -> None:
    class Policy(CORSMiddleware):
        """An app's own."""

    app.add_middleware(Policy, allow_origins=[ORIGIN])
    instrument_app(app, settings)
    response = client_of(app).get("/fail", headers={"Origin": ORIGIN})
    assert (response.status_code, response.headers["access-control-allow-origin"]) == (500, ORIGIN)
