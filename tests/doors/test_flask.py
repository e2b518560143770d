"""The Flask extension: how it is set up, what views get of it, and what responses carry."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from threading import Thread
from typing import Any

import flask
import pytest
from flask import Blueprint, Flask, Response, abort, g, send_file, session
from flask_login import LoginManager, UserMixin, login_user

from payi_middleware import Settings, get_context, parse_headers
from payi_middleware.context import RequestScope
from payi_middleware.exceptions import ConfigurationError
from payi_middleware.flask import Payi, meter_of
from payi_middleware.identity import AuthenticatedUser, Route, Session
from payi_middleware.service.accounts.records import RequestRecord
from tests.doors.conftest import Ask

Records = Callable[[], list[RequestRecord]]


@pytest.fixture
def app(ask: Ask) -> Flask:
    """An app without the extension."""
    made = Flask(__name__)
    made.secret_key = "not so secret"

    @made.get("/plain")
    def plain() -> str:
        return ask()

    @made.get("/nothing")
    def nothing() -> str:
        return "nothing asked"

    @made.get("/stream")
    def stream() -> Response:
        return Response(ask() for _ in range(2))

    @made.get("/fail")
    def fail() -> str:
        ask()
        raise LookupError("the app's own")

    @made.get("/abort/<int:status>")
    def aborted(status: int) -> str:
        ask()
        abort(status)

    return made


# --- setting up -----------------------------------------------------------------------------------------------------


def test_the_extension_takes_its_settings_from_the_apps_config(app: Flask, ledger_path: Path) -> None:
    app.config.from_mapping(PAYI_LEDGER=str(ledger_path), PAYI_HEADER_WAIT=0.25, PAYI_USER_ID="config", OTHER=1)
    Payi(app)
    settings = meter_of(app).settings
    assert (settings.ledger, settings.header_wait, settings.user_id) == (ledger_path, 0.25, "config")


def test_config_wins_over_the_environment_and_leaves_the_rest_to_it(
    app: Flask, ledger_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PAYI_HEADER_WAIT", "9")
    monkeypatch.setenv("PAYI_LEDGER", str(ledger_path))
    app.config["PAYI_HEADER_WAIT"] = 0.25
    Payi(app)
    assert (meter_of(app).settings.header_wait, meter_of(app).settings.ledger) == (0.25, ledger_path)


def test_a_factory_makes_apps_with_settings_of_their_own(ask: Ask, tmp_path: Path) -> None:
    payi = Payi()

    def create_app(name: str) -> Flask:
        made = Flask(__name__)
        made.config.from_mapping(PAYI_LEDGER=str(tmp_path / f"{name}.db"), PAYI_HEADER_WAIT=10.0)
        payi.init_app(made)
        made.add_url_rule("/", view_func=ask)
        return made

    for name in ("one", "two"):
        assert create_app(name).test_client().get("/").headers["X-Payi-Calls"] == "1"
    assert all((tmp_path / f"{name}.db").exists() for name in ("one", "two"))


def test_initialising_an_app_twice_changes_nothing(app: Flask, settings: Settings, records: Records) -> None:
    payi = Payi(app, settings)
    wsgi_app = app.wsgi_app
    payi.init_app(app)
    Payi(app, settings)
    assert app.wsgi_app is wsgi_app
    assert app.test_client().get("/plain").headers.getlist("X-Payi-Calls") == ["1"]
    assert len(records()) == 1


@pytest.mark.parametrize(
    ("key", "value", "named"),
    [("PAYI_HEADER_WAIT", "soon", "HEADER_WAIT"), ("PAYI_TRUSTED_PROXIES", ["nowhere"], "TRUSTED_PROXIES")],
)
def test_a_wrong_setting_is_an_error_that_names_it(app: Flask, key: str, value: Any, named: str) -> None:
    app.config[key] = value
    with pytest.raises(ConfigurationError, match=f"(?i){named}"):
        Payi(app)
    assert "payi" not in app.extensions


def test_a_misspelt_setting_in_the_config_is_an_error_that_names_the_right_one(app: Flask) -> None:
    app.config["PAYI_HEADER_WAITS"] = 1.0
    with pytest.raises(ConfigurationError, match="PAYI_HEADER_WAIT"):
        Payi(app)


def test_turned_off_the_app_is_as_without_it(app: Flask, ledger_path: Path) -> None:
    app.config.from_mapping(PAYI_ENABLED=False, PAYI_LEDGER=str(ledger_path))
    Payi(app)
    response = app.test_client().get("/plain")
    assert response.status_code == 200
    assert not [name for name in response.headers.keys() if name.lower().startswith("x-payi")]  # noqa: SIM118
    assert not ledger_path.exists()


# --- what responses carry -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("path", "status"), [("/plain", 200), ("/fail", 500), ("/abort/418", 418), ("/abort/404", 404), ("/abort/503", 503)]
)
def test_responses_of_every_status_carry_what_their_calls_cost(
    path: str, status: int, app: Flask, settings: Settings, records: Records
) -> None:
    Payi(app, settings)
    response = app.test_client().get(path)
    summary = parse_headers(dict(response.headers))
    (record,) = records()
    assert response.status_code == status
    assert (summary.calls, summary.status) == (1, "final")
    assert (summary.request_ids, summary.cost) == ((record.request_id,), record.cost)


@pytest.mark.parametrize(("path", "status"), [("/nothing", 200), ("/no-such-page", 404)])
def test_without_a_call_there_is_a_count_of_zero_and_no_cost(
    path: str, status: int, app: Flask, settings: Settings
) -> None:
    Payi(app, settings)
    response = app.test_client().get(path)
    assert response.status_code == status
    assert (response.headers["X-Payi-Calls"], response.headers["X-Payi-Status"]) == ("0", "final")
    assert "X-Payi-Cost" not in response.headers


def test_a_streamed_response_is_pending_and_its_calls_are_booked(
    app: Flask, settings: Settings, records: Records
) -> None:
    Payi(app, settings)
    response = app.test_client().get("/stream", headers={"X-User-ID": "alice"})
    assert response.headers["X-Payi-Status"] == "pending"
    assert len(response.data) > 0
    assert [record.user_id for record in records()] == ["alice"] * 2


def test_an_exception_that_flask_is_told_to_propagate_reaches_the_server(app: Flask, settings: Settings) -> None:
    app.testing = True
    Payi(app, settings)
    with pytest.raises(LookupError, match="the app's own"):
        app.test_client().get("/fail")


def test_a_head_request_is_answered_as_the_get_but_for_the_body(app: Flask, settings: Settings) -> None:
    Payi(app, settings)
    response = app.test_client().head("/plain")
    assert (response.data, response.headers["X-Payi-Calls"], response.headers["X-Payi-Status"]) == (b"", "1", "final")


def test_a_file_is_sent_with_headers(app: Flask, settings: Settings) -> None:
    app.add_url_rule("/file", view_func=lambda: send_file(__file__))
    Payi(app, settings)
    with app.test_client().get("/file") as response:
        assert response.data == Path(__file__).read_bytes()
        assert response.headers["X-Payi-Calls"] == "0"


# --- what views get -------------------------------------------------------------------------------------------------


def test_the_scope_is_in_g_and_its_annotations_are_the_requests(
    app: Flask, ask: Ask, settings: Settings, records: Records
) -> None:
    @app.get("/annotated")
    def annotated() -> str:
        scope: RequestScope = g.payi
        scope.annotate(user_id="bob", use_case_step="answer")
        ask()
        return str(scope.summary().calls)

    Payi(app, settings)
    assert app.test_client().get("/annotated", headers={"X-User-ID": "alice"}).text == "1"
    assert [(record.user_id, record.use_case_step) for record in records()] == [("bob", "answer")]


def test_before_request_functions_of_the_app_and_its_blueprints_find_the_scope(
    app: Flask, ask: Ask, settings: Settings, records: Records
) -> None:
    pages = Blueprint("pages", __name__)
    pages.before_request(lambda: g.payi.annotate(account_name="acme"))
    app.before_request(lambda: g.payi.annotate(user_id="alice"))
    pages.add_url_rule("/page", view_func=ask)
    Payi(app, settings)
    app.register_blueprint(pages)
    app.test_client().get("/page")
    assert [(record.user_id, record.account_name) for record in records()] == [("alice", "acme")]


def test_the_last_result_is_this_requests_own(app: Flask, ask: Ask, settings: Settings) -> None:
    @app.get("/last")
    def last() -> dict[str, Any]:
        before = get_context().last_result
        ask()
        meter_of(app).flush(10)
        after = get_context().last_result
        return {"before": before, "after": after and after.request_id}

    Payi(app, settings)
    client = app.test_client()
    for response in (client.get("/last"), client.get("/last")):
        assert response.json == {"before": None, "after": response.headers["X-Payi-Request-Id"]}


def test_identity_may_be_taken_from_the_route_and_from_keys_of_the_session(
    app: Flask, ask: Ask, settings: Settings, records: Records
) -> None:
    @app.get("/chat/<int:number>")
    def chat(number: int) -> str:
        session["name"] = "alice"
        thread = Thread(target=ask)
        thread.start()
        thread.join()
        return str(number)

    Payi(app, settings, [Session(user_key="name"), Route()])
    app.test_client().get("/chat/7")
    assert [(record.user_id, record.use_case_step) for record in records()] == [("alice", "/chat/<int:number>")]


class User(UserMixin):  # type: ignore[misc]  # the package has no types
    def __init__(self, name: str) -> None:
        self.id = name


def begin_session(logins: bool) -> str:
    session["session_id"] = "s1"
    return str(logins and login_user(User("alice")))


@pytest.mark.parametrize("logins", [False, True], ids=["no-logins", "logins"])
def test_asking_who_the_user_is_leaves_no_trace_in_the_response(logins: bool, ask: Ask, settings: Settings) -> None:
    def answer_of(*, with_payi: bool) -> list[tuple[str, str]]:
        app = Flask(__name__)
        app.secret_key = "not so secret"
        app.add_url_rule("/", "same", lambda: ask() and "same")
        app.add_url_rule("/login", "login", lambda: begin_session(logins))
        if logins:
            LoginManager(app).user_loader(User)
        if with_payi:
            Payi(app, settings)
        client = app.test_client()
        client.get("/login")
        return [(name, value) for name, value in client.get("/").headers if not name.startswith("X-Payi-")]

    assert answer_of(with_payi=True) == answer_of(with_payi=False)


def test_an_app_without_flask_login_has_no_users_even_where_another_has(
    app: Flask, ask: Ask, settings: Settings, records: Records, caplog: pytest.LogCaptureFixture
) -> None:
    @app.get("/thread")
    def threaded() -> str:
        thread = Thread(target=ask)
        thread.start()
        thread.join()
        return "done"

    assert "flask_login" in sys.modules
    Payi(app, settings, [AuthenticatedUser()])
    client = app.test_client()
    with client.session_transaction() as state:
        state["_user_id"] = "forgotten"
    responses = [client.get(path) for path in ("/plain", "/thread")]
    assert [record.user_id for record in records()] == [None, None]
    assert [response.headers.getlist("Vary") for response in responses] == [[], []]
    assert not caplog.records


def test_a_request_that_is_made_within_another_has_a_scope_of_its_own(
    app: Flask, ask: Ask, settings: Settings, records: Records
) -> None:
    @app.get("/outer")
    def outer() -> str:
        inner = app.test_client().get("/plain", headers={"X-User-ID": "inner"})
        ask()
        return inner.headers["X-Payi-Calls"]

    Payi(app, settings)
    response = app.test_client().get("/outer", headers={"X-User-ID": "outer"})
    assert (response.text, response.headers["X-Payi-Calls"]) == ("1", "1")
    assert [record.user_id for record in records()] == ["inner", "outer"]


def test_a_generator_with_the_requests_context_still_has_it(app: Flask, ask: Ask, settings: Settings) -> None:
    @app.get("/kept")
    def kept() -> Response:
        def pieces() -> Iterator[str]:
            ask()
            yield str(g.payi.summary().calls)

        return Response(flask.stream_with_context(pieces()))

    Payi(app, settings)
    assert app.test_client().get("/kept").text == "1"
