"""What the app's own layers found out: user, session and route."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any
from uuid import UUID

import flask
import pytest
from flask_login import AnonymousUserMixin, UserMixin
from starlette.authentication import BaseUser, SimpleUser, UnauthenticatedUser

from payi_middleware.annotations import NOTHING
from payi_middleware.identity import AuthenticatedUser, Route, Session

from .web_request import WebRequest, who


class Subject(BaseUser):
    """A Starlette user that leaves `identity` and `display_name` undefined, as BaseUser does."""

    def __init__(self, username: str) -> None:
        self.username = username

    @property
    def is_authenticated(self) -> bool:
        return True


class Member(UserMixin):  # type: ignore[misc]
    """A Flask-Login user: `get_id()` is the text of `id`."""

    id = 7


@dataclass
class Row:
    """A user as an ORM or a framework might have it."""

    id: object = None
    pk: object = None
    username: object = None
    email: str = "alice@example.com"
    is_authenticated: object = True

    def tenant(self) -> str:
        return "acme"


@pytest.mark.parametrize(
    ("user", "user_id"),
    [
        (SimpleUser("alice"), "alice"),
        (Subject("alice"), "alice"),
        (Member(), "7"),
        (Row(id=7, pk=8, username="alice"), "7"),
        (Row(id=0), "0"),
        (Row(pk=UUID(int=5)), "00000000-0000-0000-0000-000000000005"),
        (Row(id="", username="alice"), "alice"),
        (Row(id=1, is_authenticated=lambda: True), "1"),
        ({"id": 7}, "7"),
        ("alice", "alice"),
        (SimpleUser("josé 🦀"), "josé 🦀"),
    ],
)
def test_the_id_of_the_apps_user_is_found(user: object, user_id: str) -> None:
    assert who(WebRequest(user=user)).user_id == user_id


@pytest.mark.parametrize(
    "user",
    [
        None,
        UnauthenticatedUser(),
        AnonymousUserMixin(),
        Row(id=7, is_authenticated=False),
        Row(id=7, is_authenticated=lambda: False),
        Row(),
        Row(id=[1], pk=b"1", username=True),
    ],
)
def test_nobody_is_named_by_a_user_who_is_not_authenticated_or_has_no_id(user: object) -> None:
    assert who(WebRequest(user=user)) is NOTHING


def test_identity_comes_before_get_id_before_id() -> None:
    class Both(Member):
        identity = "from identity"

    class Named(Member):
        id = 7

        def get_id(self) -> str:
            return "from get_id"

    assert who(WebRequest(user=Both())).user_id == "from identity"
    assert who(WebRequest(user=Named())).user_id == "from get_id"


def test_the_app_may_say_where_id_and_account_are() -> None:
    by_name = [AuthenticatedUser("email", account="tenant")]
    by_function = [AuthenticatedUser(lambda user: user.email.upper(), account=lambda user: user.tenant())]

    named = who(WebRequest(user=Row(id=7)), by_name)

    assert (named.user_id, named.account_name) == ("alice@example.com", "acme")
    assert who(WebRequest(user=Row(id=7)), by_function).user_id == "ALICE@EXAMPLE.COM"


def test_a_named_attribute_that_is_missing_names_nobody_instead_of_somebody_else() -> None:
    assert who(WebRequest(user=Row(id=7)), [AuthenticatedUser("employee_number")]) is NOTHING


def test_a_user_object_that_raises_is_skipped_and_the_source_named(caplog: pytest.LogCaptureFixture) -> None:
    class Detached:
        @property
        def id(self) -> int:
            raise RuntimeError("the row secret-7 is gone")

    assert who(WebRequest({"X-User-ID": "alice"}, user=Detached())).user_id == "alice"
    assert "AuthenticatedUser" in caplog.text
    assert "secret-7" not in caplog.text


def test_the_session_names_the_session_and_the_user_if_asked() -> None:
    session = {"session_id": "s1", "uid": 7, "org": "acme"}

    assert who(WebRequest(session=session)).session_id == "s1"
    assert who(WebRequest(session=session)).user_id is None
    asked = who(WebRequest(session=session), [Session(user_key="uid", account_key="org")])
    assert (asked.session_id, asked.user_id, asked.account_name) == ("s1", "7", "acme")


def test_a_session_id_is_also_a_request_property() -> None:
    found = who(WebRequest(session={"session_id": "s1"}))

    assert dict(found.request_properties or {}) == {"session_id": "s1"}


@pytest.mark.parametrize("session", [None, {}, {"other": "x"}, {"session_id": None}, {"session_id": ["s1"]}])
def test_a_session_without_the_keys_names_nothing(session: dict[str, Any] | None) -> None:
    assert who(WebRequest(session=session)) is NOTHING


def test_a_flask_session_that_nobody_looked_at_stays_so() -> None:
    app = flask.Flask(__name__)
    app.secret_key = "not so secret"
    seen: list[str | None] = []

    @app.get("/in")
    def log_in() -> str:
        flask.session["session_id"] = "s1"
        return ""

    @app.get("/")
    def home() -> str:
        session = app.session_interface.open_session(app, flask.request)
        assert session is not None
        seen.append(who(WebRequest(session=session)).session_id)
        return str(session.accessed)

    browser = app.test_client()
    browser.get("/in")

    assert browser.get("/").text == "False"
    assert seen == ["s1"]


def test_a_session_that_notes_every_look_as_djangos_does_forgets_this_one() -> None:
    class Noting(dict[str, str]):
        accessed = False

        def get(self, key: str, default: Any = None) -> Any:
            self.accessed = True
            return super().get(key, default)

    session = Noting(session_id="s1")

    assert who(WebRequest(session=session)).session_id == "s1"
    assert not session.accessed


def test_a_session_that_the_app_looked_at_stays_looked_at() -> None:
    class Touched(dict[str, str]):
        accessed = True

    session = Touched(session_id="s1")

    assert who(WebRequest(session=session)).session_id == "s1"
    assert session.accessed


@pytest.mark.parametrize(
    ("route", "name"),
    [
        ("/chat/{id}", "chat.id"),
        ("/chat/{id:int}/say", "chat.id.say"),
        ("/chat/<int:id>", "chat.id"),
        ("/chat/<id>/", "chat.id"),
        (r"^chat/(?P<id>\d+)/$", "chat.id"),
        ("/v1.2/über uns", "v1.2.ber.uns"),
        ("/", "root"),
        ("/" + "a" * 80, "a" * 64),
    ],
)
def test_a_route_names_the_use_case(route: str, name: str) -> None:
    assert who(WebRequest(route=route), [Route("use_case_name")]).use_case_name == name


def test_a_route_names_the_step_as_it_is() -> None:
    assert who(WebRequest(route="/chat/{id}"), [Route()]).use_case_step == "/chat/{id}"
    assert who(WebRequest(route=None), [Route()]) is NOTHING
