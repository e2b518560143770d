"""Whom Flask itself knows, by Flask-Login and by its session, is who is charged, whatever the headers say."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from flask import Flask, Response, request, session
from flask_login import LoginManager, UserMixin, current_user

from payi_middleware import Settings, flush
from payi_middleware.demo.provider import Provider
from payi_middleware.flask import Payi
from tests.attribution.wsgi_app import Providers, everybody
from tests.attribution.wsgi_world import (
    USERS,
    ask_as_everybody,
    assert_everybody_is_charged_for_their_own,
    booked,
    named_in,
    under_waitress,
)


class User(UserMixin):  # type: ignore[misc]  # the package has no types
    def __init__(self, name: str) -> None:
        self.id = name


def make_app(providers: Providers, settings: Settings) -> Flask:
    """Make an app whose users are known by a header of their own, as by an API key, and whose sessions by a cookie."""
    app, gate = Flask(__name__), everybody(USERS)
    app.secret_key = "not so secret"
    Payi(app, settings)
    logins = LoginManager(app)
    logins.request_loader(lambda received: User(received.headers["X-Key"]))
    logins.user_loader(User)

    @app.get("/loaded")
    def loaded() -> str:
        gate()
        return providers.ask_openai(current_user.get_id())

    @app.get("/not-loaded")
    def not_loaded() -> str:
        gate()
        return providers.ask_openai(request.headers["X-Key"])

    @app.get("/thread")
    def thread() -> str:
        gate()
        asking = threading.Thread(target=providers.ask_openai, args=(current_user.get_id(),))
        asking.start()
        asking.join()
        return "done"

    @app.get("/streamed")
    def streamed() -> Response:
        return Response(providers.stream_openai(current_user.get_id(), gate))

    @app.get("/login")
    def login() -> str:
        session["_user_id"] = request.headers["X-Key"]
        return "in"

    @app.get("/thread-of-a-session")
    def thread_of_a_session() -> str:
        asking = threading.Thread(target=providers.ask_openai, args=(request.headers["X-Key"],))
        asking.start()
        asking.join()
        return "done"

    @app.get("/session")
    def with_session() -> str:
        session["session_id"] = f"session-of-{request.headers['X-User-ID']}"
        gate()
        return providers.ask_openai(request.headers["X-User-ID"])

    return app


@pytest.fixture
def providers(provider: Provider) -> Iterator[Providers]:
    made = Providers(provider.url)
    yield made
    made.close()


@pytest.mark.parametrize("path", ["/loaded", "/not-loaded", "/thread", "/streamed"])
def test_the_user_of_flask_login_is_charged_and_beats_the_header(
    path: str, providers: Providers, provider: Provider, settings: Settings, ledger_path: Path
) -> None:
    with under_waitress(make_app(providers, settings)) as url:
        ask_as_everybody(url + path, header="X-Key", **{"X-User-ID": "mallory"})
    assert flush(30)
    assert_everybody_is_charged_for_their_own(provider, ledger_path, len(USERS))


def test_a_thread_of_a_view_is_charged_to_the_user_of_the_login_session_that_nobody_has_loaded(
    providers: Providers, provider: Provider, settings: Settings, ledger_path: Path
) -> None:
    with under_waitress(make_app(providers, settings)) as url, httpx.Client(base_url=url, trust_env=False) as browser:
        browser.get("/login", headers={"X-Key": "alice"})
        browser.get("/thread-of-a-session", headers={"X-Key": "alice", "X-User-ID": "mallory"})
    assert flush(30)
    assert_everybody_is_charged_for_their_own(provider, ledger_path, 1)


@pytest.mark.parametrize("use_case_name", [None, "chat"])
def test_the_session_becomes_a_request_property_and_the_id_of_a_use_case_that_has_a_name(
    use_case_name: str | None, providers: Providers, provider: Provider, ledger_path: Path
) -> None:
    settings = Settings(ledger=ledger_path, header_wait=10.0, use_case_name=use_case_name)
    with under_waitress(make_app(providers, settings)) as url:
        ask_as_everybody(f"{url}/session")
    assert flush(30)
    assert_everybody_is_charged_for_their_own(provider, ledger_path, len(USERS))
    records = booked(ledger_path)
    for asked in provider.requests:
        record, session_id = records[str(asked.response_id)], f"session-of-{named_in(asked.body)}"
        assert record.properties["session_id"] == session_id
        assert (record.use_case_name, record.use_case_id) == (use_case_name, use_case_name and session_id)
