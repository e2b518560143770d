"""The results route: it answers who made the request, and tells nobody else whether there was one."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, Annotated, Any

import httpx
import pytest
from fastapi import Depends, FastAPI, Header, HTTPException
from fastapi.responses import RedirectResponse, StreamingResponse
from fastapi.testclient import TestClient
from flask import Flask, Response
from starlette.authentication import AuthCredentials, AuthenticationBackend, SimpleUser
from starlette.middleware.authentication import AuthenticationMiddleware
from starlette.requests import HTTPConnection

from payi_middleware import ConfigurationError, PayiWSGIMiddleware, Settings, Summary, annotate, parse_headers
from payi_middleware.calls import Call
from payi_middleware.context import RequestScope
from payi_middleware.fastapi import instrument_app
from payi_middleware.flask import Payi
from payi_middleware.results import XproxyResult
from payi_middleware.streaming.earlier import Earlier
from payi_middleware.streaming.results_route import asked_id, path_of
from tests.doors.conftest import Ask
from tests.streams.conftest import Options
from tests.unit.world import request as scope_of

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIEnvironment

ALICE, BOB = {"X-User-ID": "alice"}, {"X-User-ID": "bob"}
Client = Any


@pytest.fixture
def settings(options: Options) -> Settings:
    """With the route, and with results in the headers of plain answers."""
    return Settings(**{**options, "header_wait": 20.0}, results_path="/payi")


def fastapi_client(settings: Settings, ask: Ask) -> Client:
    """Return a client of a FastAPI app."""
    app = FastAPI()

    @app.get("/plain")
    def plain() -> str:
        return ask()

    @app.get("/stream")
    def stream() -> StreamingResponse:
        def pieces() -> Iterator[str]:
            yield ask()

        return StreamingResponse(pieces())

    @app.get("/nothing")
    def nothing() -> None:
        """Ask nobody."""

    instrument_app(app, settings)
    return TestClient(app, client=("127.0.0.1", 50000))


def flask_client(settings: Settings, ask: Ask) -> Client:
    """Return a client of a Flask app."""
    app = Flask(__name__)

    @app.get("/plain")
    def plain() -> str:
        return ask()

    @app.get("/stream")
    def stream() -> Response:
        def pieces() -> Iterator[str]:
            yield ask()

        return Response(pieces())

    @app.get("/nothing")
    def nothing() -> str:
        return ""

    Payi(app, settings)
    return httpx.Client(transport=httpx.WSGITransport(app, remote_addr="127.0.0.1"), base_url="http://testserver")


@pytest.fixture(params=[fastapi_client, flask_client], ids=["fastapi", "flask"])
def make(request: pytest.FixtureRequest, ask: Ask) -> Callable[[Settings], Client]:
    """Make a client of either app."""
    return lambda settings: request.param(settings, ask)


def summary_of(answer: Any) -> Summary:
    """Read an answer that has one."""
    assert (answer.status_code, answer.headers["content-type"]) == (200, "application/json")
    return Summary.model_validate_json(answer.content)


def is_not_found(answer: Any) -> bool:
    """Whether it is the answer to everybody who may not know."""
    problem = {"type": "about:blank", "title": "Not Found", "status": 404}
    return bool(answer.status_code == 404 and answer.json() == problem and "x-payi-calls" not in answer.headers)


def test_a_stream_says_where_its_cost_can_be_asked_for_later(
    make: Callable[[Settings], Client], settings: Settings
) -> None:
    client = make(settings)
    streamed = client.get("/stream", headers=ALICE)
    answer = client.get(streamed.headers["x-payi-results"], headers=ALICE)

    assert streamed.headers["x-payi-results"].startswith("/payi/results/")
    assert parse_headers(streamed.headers).cost is None
    assert answer.headers["cache-control"] == "no-store"
    assert "x-payi-results" not in answer.headers
    while summary_of(answer).status == "pending":
        assert answer.headers["retry-after"] == "1"
        answer = client.get(streamed.headers["x-payi-results"], headers=ALICE)
    assert summary_of(answer).calls == 1
    assert (summary_of(answer).cost or 0) > 0


def test_a_request_can_be_asked_for_by_the_id_of_one_of_its_calls(
    make: Callable[[Settings], Client], settings: Settings
) -> None:
    client = make(settings)
    plain = client.get("/plain", headers=ALICE)
    told = summary_of(client.get(f"/payi/results/{plain.headers['x-payi-request-id']}", headers=ALICE))

    assert told == parse_headers(plain.headers)


def test_others_are_not_told_whether_there_was_such_a_request(
    make: Callable[[Settings], Client], settings: Settings
) -> None:
    client = make(settings)
    plain = client.get("/plain", headers=ALICE)
    known = [plain.headers["x-payi-results"], f"/payi/results/{plain.headers['x-payi-request-id']}"]

    for path in known:
        assert is_not_found(client.get(path, headers=BOB))
        assert is_not_found(client.get(path))
        assert is_not_found(client.get(path + "x", headers=ALICE))
    assert client.get(known[0], headers=BOB).content == client.get("/payi/results/made-up", headers=BOB).content


def test_a_request_of_nobody_is_told_only_by_its_own_id(make: Callable[[Settings], Client], settings: Settings) -> None:
    client = make(settings)
    plain = client.get("/plain")

    assert summary_of(client.get(plain.headers["x-payi-results"])).calls == 1
    assert is_not_found(client.get(plain.headers["x-payi-results"], headers=ALICE))
    assert is_not_found(client.get(f"/payi/results/{plain.headers['x-payi-request-id']}"))


def test_the_settings_user_is_nobody_in_particular(make: Callable[[Settings], Client], options: Options) -> None:
    client = make(Settings(**{**options, "header_wait": 20.0}, results_path="/payi", user_id="service"))
    plain = client.get("/plain")

    assert is_not_found(client.get(f"/payi/results/{plain.headers['x-payi-request-id']}"))


def test_a_request_without_calls_is_told_too(make: Callable[[Settings], Client], settings: Settings) -> None:
    client = make(settings)
    answer = client.get(client.get("/nothing", headers=ALICE).headers["x-payi-results"], headers=ALICE)

    assert summary_of(answer) == Summary()


def test_other_paths_and_methods_are_the_app_s(make: Callable[[Settings], Client], settings: Settings) -> None:
    client = make(settings)
    path = client.get("/plain", headers=ALICE).headers["x-payi-results"]

    for answer in (client.post(path, headers=ALICE), client.get(path + "/more"), client.get("/payi/results/")):
        assert answer.status_code in (404, 405)
        assert answer.headers["content-type"] != "application/problem+json"
        assert "calls" not in answer.text


def test_there_is_no_route_unless_it_is_asked_for(make: Callable[[Settings], Client], options: Options) -> None:
    plain = make(Settings(**options)).get("/plain")

    assert "x-payi-results" not in plain.headers


def test_scripts_of_other_origins_may_read_the_header(make: Callable[[Settings], Client], settings: Settings) -> None:
    plain = make(settings).get("/plain", headers={"Origin": "https://other.example"})

    assert "X-Payi-Results" in plain.headers["access-control-expose-headers"]


@pytest.mark.parametrize("path", ["payi", "/payi?x", "https://x/payi", "/a b", "//", "/", "/pa{y}i"])
def test_a_path_that_is_none_is_an_error(path: str) -> None:
    with pytest.raises(ConfigurationError, match="results_path"):
        Settings(results_path=path)


# --- who asks, as the app's own layers say ---------------------------------------------------------------------------


def asking(settings: Settings, ask: Ask, prepare: Callable[[FastAPI], object]) -> TestClient:
    """Return a client of an app that makes a call, with something else in it."""
    app = FastAPI()

    @app.get("/plain")
    def plain() -> str:
        return ask()

    prepare(app)
    instrument_app(app, settings)
    return TestClient(app, client=("127.0.0.1", 50000), follow_redirects=False)


class Backend(AuthenticationBackend):
    """Believes a header of its own."""

    async def authenticate(self, conn: HTTPConnection) -> tuple[AuthCredentials, SimpleUser] | None:
        name = conn.headers.get("x-login")
        return (AuthCredentials(), SimpleUser(name)) if name else None


def test_a_user_whom_an_inner_middleware_authenticates_is_known(settings: Settings, ask: Ask) -> None:
    client = asking(settings, ask, lambda app: app.add_middleware(AuthenticationMiddleware, backend=Backend()))
    path = client.get("/plain", headers={"x-login": "alice"}).headers["x-payi-results"]

    assert summary_of(client.get(path, headers={"x-login": "alice"})).calls == 1
    assert is_not_found(client.get(path, headers={"x-login": "bob"}))
    assert is_not_found(client.get(path, headers={"x-login": "bob", **ALICE}))
    assert is_not_found(client.get(path))


def test_a_user_whom_a_dependency_knows_is_known_where_the_path_has_a_route_with_it(
    settings: Settings, ask: Ask
) -> None:
    def current_user(token: Annotated[str, Header()]) -> None:
        annotate(user_id=token)

    def prepare(app: FastAPI) -> None:
        @app.get("/mine", dependencies=[Depends(current_user)])
        def mine() -> str:
            return ask()

        @app.get("/payi/results/{request_id}", dependencies=[Depends(current_user)])
        def results(request_id: str) -> None:
            """What it returns is replaced."""

    client = asking(settings, ask, prepare)
    path = client.get("/mine", headers={"token": "alice"}).headers["x-payi-results"]

    assert summary_of(client.get(path, headers={"token": "alice"})).calls == 1
    assert is_not_found(client.get(path, headers={"token": "bob"}))
    assert client.get(path).status_code == 422


@pytest.mark.parametrize("status", [401, 403, 307, 500])
def test_whom_the_app_refuses_gets_the_app_s_answer(settings: Settings, ask: Ask, status: int) -> None:
    def prepare(app: FastAPI) -> None:
        @app.get("/payi/results/{request_id}")
        def refuse(request_id: str) -> RedirectResponse:
            if status == 307:
                return RedirectResponse("/login")
            raise HTTPException(status, "the app's own")

    client = asking(settings, ask, prepare)
    answer = client.get(client.get("/plain").headers["x-payi-results"])

    assert answer.status_code == status
    assert "calls" not in answer.text


def test_the_app_s_page_for_everything_is_replaced_with_all_that_describes_it(settings: Settings, ask: Ask) -> None:
    def prepare(app: FastAPI) -> None:
        @app.get("/{path:path}")
        def page(path: str) -> StreamingResponse:
            headers = {"ETag": '"1"', "Cache-Control": "public", "X-Own": "1"}
            return StreamingResponse(iter([b"<p>", b"everything"]), media_type="text/html", headers=headers)

    client = asking(settings, ask, prepare)
    answer = client.get(client.get("/plain").headers["x-payi-results"])

    assert summary_of(answer).calls == 1
    assert (answer.headers["x-own"], answer.headers["cache-control"]) == ("1", "no-store")
    assert "etag" not in answer.headers
    assert answer.headers["content-length"] == str(len(answer.content))


def test_a_mounted_app_says_the_whole_path(settings: Settings, ask: Ask) -> None:
    inner = FastAPI()

    @inner.get("/plain")
    def plain() -> str:
        return ask()

    instrument_app(inner, settings)
    outer = FastAPI()
    outer.mount("/api", inner)
    client = TestClient(outer, client=("127.0.0.1", 50000))
    path = client.get("/api/plain", headers=ALICE).headers["x-payi-results"]

    assert path.startswith("/api/payi/results/")
    assert summary_of(client.get(path, headers=ALICE)).calls == 1


@pytest.mark.parametrize("lazily", [False, True])
def test_a_plain_wsgi_app_is_asked_first_whenever_it_starts_its_response(
    settings: Settings, ask: Ask, lazily: bool
) -> None:
    closed: list[str] = []

    def pieces(environ: WSGIEnvironment, start_response: StartResponse) -> Iterator[bytes]:
        try:
            start_response("200 OK", [("Content-Type", "text/html")])
            if environ["PATH_INFO"] == "/ask":
                ask()
            yield b"<p>"
            yield b"page"
        finally:
            closed.append(environ["PATH_INFO"])

    def eagerly(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        return list(pieces(environ, start_response))

    app = PayiWSGIMiddleware(pieces if lazily else eagerly, settings)
    transport = httpx.WSGITransport(app, remote_addr="127.0.0.1")
    with httpx.Client(transport=transport, base_url="http://testserver") as client:
        path = client.get("/ask", headers=ALICE).headers["x-payi-results"]
        answer = client.get(path, headers=ALICE)

    assert summary_of(answer).calls == 1
    assert closed == ["/ask", path]


# --- the memory ------------------------------------------------------------------------------------------------------


def settled(request_id: str) -> Call:
    """Return a call whose result is in."""
    call = Call()
    call.settle(XproxyResult(request_id=request_id))
    return call


def ended(earlier: Earlier, *calls: Call) -> str:
    """Serve a request, and return its id."""
    scope = scope_of()
    entry = earlier.begin(scope)
    for call in calls:
        scope.add(call)
    earlier.end(entry)
    return entry.id


def test_as_many_requests_are_remembered_as_there_is_room_for() -> None:
    earlier = Earlier(most=3)
    ids = [ended(earlier, settled(f"r{number}")) for number in range(5)]

    assert [earlier.find(one, (None, None)) is not None for one in ids] == [False, False, True, True, True]
    assert (len(earlier._entries), len(earlier._by_other_id)) == (3, 3)


def test_requests_without_calls_go_first() -> None:
    earlier = Earlier(most=3)
    first = ended(earlier, settled("r1"))
    for _ in range(10):
        ended(earlier)

    assert earlier.find(first, (None, None)) is not None


def test_a_request_is_forgotten_some_time_after_its_end() -> None:
    now = [0.0]
    earlier = Earlier(longest=900, clock=lambda: now[0])
    one = ended(earlier, settled("r1"))
    now[0] = 900.0
    in_time = earlier.find(one, (None, None))
    now[0] = 900.1

    assert in_time is not None
    assert earlier.find(one, (None, None)) is None
    ended(earlier, settled("r2"))
    assert len(earlier._entries) == 1


def test_nothing_but_the_summary_is_kept_of_a_request_that_is_over() -> None:
    earlier = Earlier()
    scope = scope_of()
    entry = earlier.begin(scope)
    late = Call()
    scope.add(late)
    earlier.end(entry)
    pending = earlier.find(entry.id, (None, None))
    late.settle(XproxyResult(request_id="late"))
    ended(earlier)

    assert pending is not None
    assert pending.status == "pending"
    assert entry.scope is None
    assert entry._tally is None
    assert earlier.find(entry.id, (None, None)) == Summary(calls=1, request_ids=("late",))


def test_the_summary_of_a_request_that_is_not_over_is_pending() -> None:
    earlier, scope = Earlier(), RequestScope()
    entry = earlier.begin(scope)
    scope.add(settled("r1"))
    told = earlier.find(entry.id, (None, None))

    assert told is not None
    assert (told.calls, told.status) == (1, "pending")


def test_two_accounts_may_have_users_of_the_same_id() -> None:
    earlier, scope = Earlier(), RequestScope()
    scope.annotate(user_id="1", account_name="acme")
    entry = earlier.begin(scope)

    assert earlier.find(entry.id, ("1", "umbrella")) is None
    assert earlier.find(entry.id, ("1", "acme")) is not None


def test_ids_cannot_be_guessed() -> None:
    earlier = Earlier()
    ids = {ended(earlier) for _ in range(100)}

    assert len(ids) == 100
    assert {len(one) for one in ids} == {24}


@pytest.mark.parametrize(
    ("root", "path", "found"),
    [
        ("", "/payi/results/x", "x"),
        ("/api", "/api/payi/results/x", "x"),
        ("/api", "/payi/results/x", "x"),
        ("/api/", "/api/payi/results/x", "x"),
        ("", "/payi/results/", None),
        ("", "/payi/results/x/y", None),
        ("", "/payi/result/x", None),
        ("", "/other/payi/results/x", None),
        ("/payi", "/payi/results/x", None),
    ],
)
def test_the_id_is_the_last_segment_of_the_path(root: str, path: str, found: str | None) -> None:
    assert asked_id("/payi", root, path) == found
    assert asked_id("/payi", root, path_of("/payi", root, "an-id")) == "an-id"


def test_the_json_has_the_same_members_whatever_is_known() -> None:
    assert set(json.loads(Summary().model_dump_json())) == set(Summary.model_fields)
