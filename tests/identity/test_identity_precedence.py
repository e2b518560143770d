"""Who wins, what is merged, when a request is read, and how users find out."""

from __future__ import annotations

from itertools import permutations
from typing import Any

import jwt
import pytest
from starlette.authentication import SimpleUser, UnauthenticatedUser

from payi_middleware.annotations import NOTHING, Annotations
from payi_middleware.context import RequestScope
from payi_middleware.identification import Identification
from payi_middleware.identity import (
    JWT,
    AuthenticatedUser,
    Baggage,
    Headers,
    Identity,
    Incoming,
    Route,
    Session,
    Source,
    Trust,
)
from payi_middleware.settings import Settings

from .web_request import STRANGER, WebRequest, who

SECRET = "a secret of at least sixty-four bytes, long enough for any of them"
SOURCES: list[Source] = [Route(), Baggage(), JWT(SECRET, ["HS256"]), AuthenticatedUser()]


def everything() -> WebRequest:
    return WebRequest(
        {
            "X-User-ID": "from headers",
            "X-Session-ID": "from headers",
            "xProxy-Account-Name": "from headers",
            "baggage": "user.id=from%20baggage,session.id=from%20baggage",
            "Authorization": "Bearer " + jwt.encode({"sub": "from token"}, SECRET),
        },
        user=SimpleUser("from user"),
        session={"session_id": "from session", "uid": "from session"},
        route="/chat/{id}",
    )


@pytest.mark.parametrize("sources", list(permutations(SOURCES)))
def test_the_most_trusted_source_names_a_field_whatever_the_listed_order(sources: list[Source]) -> None:
    request = everything()

    found = who(request, sources)
    request.user = UnauthenticatedUser()
    without_user = who(request, sources)
    request.headers = {"baggage": "user.id=from%20baggage"}
    without_token = who(request, sources)

    assert (found.user_id, found.session_id, found.use_case_step) == ("from user", "from baggage", "/chat/{id}")
    assert without_user.user_id == "from token"
    assert without_token.user_id == "from baggage"


def test_of_equals_the_one_written_first_wins() -> None:
    assert who(everything(), [Headers(), Baggage()]).user_id == "from headers"
    assert who(everything(), [Baggage(), Headers()]).user_id == "from baggage"
    assert who(everything(), [Session(user_key="uid"), AuthenticatedUser()]).user_id == "from session"
    assert who(everything(), [lambda incoming: "from app", AuthenticatedUser()]).user_id == "from app"
    assert who(everything(), [AuthenticatedUser(), lambda incoming: "from app"]).user_id == "from user"


def test_by_default_user_session_and_headers_are_asked() -> None:
    found = who(everything())

    assert (found.user_id, found.session_id, found.account_name) == ("from user", "from session", "from headers")


def test_no_sources_name_nobody() -> None:
    assert who(everything(), []) is NOTHING


def test_properties_are_merged_and_the_most_trusted_wins_each() -> None:
    request = WebRequest(
        {"xProxy-Request-Properties": '{"team": "red", "tier": "gold", "session_id": "forged"}', "X-Session-ID": "s1"}
    )

    found = who(request, [Headers(), lambda incoming: {"request_properties": {"team": "blue"}}])

    assert dict(found.request_properties or {}) == {"team": "blue", "tier": "gold", "session_id": "s1"}


def test_a_list_is_the_most_trusted_sources_alone() -> None:
    request = WebRequest({"xProxy-Request-Tags": "client"})

    assert who(request, [Headers(), lambda incoming: {"request_tags": ["app"]}]).request_tags == ("app",)


def test_nothing_is_read_before_the_first_settle() -> None:
    class Untouchable:
        def __getattr__(self, name: str) -> Any:
            raise AssertionError(f"{name} was read")

    untouchable: Any = Untouchable()

    identity = Identity([*SOURCES, lambda incoming: "alice"], Settings()).of(untouchable)

    assert identity.annotations is NOTHING
    assert not identity.pending


def test_what_inner_layers_fill_in_is_found_later_and_asked_for_no_more() -> None:
    request = WebRequest({"X-User-ID": "alice"})
    identity = Identity([AuthenticatedUser(), Session(), Headers(), Route()], Settings()).of(request)

    identity.settle()
    first = identity.annotations
    request.user = UnauthenticatedUser()
    request.headers = {"X-User-ID": "another"}
    identity.settle()
    unchanged = identity.annotations
    request.user, request.session, request.route = SimpleUser("bob"), {"session_id": "s1"}, "/chat"
    identity.settle()
    second = identity.annotations
    request.user, request.session, request.route = SimpleUser("eve"), {"session_id": "s2"}, "/other"
    identity.settle()

    assert first == Annotations(user_id="alice")
    assert unchanged is first
    assert second == Annotations(
        user_id="bob", session_id="s1", use_case_step="/chat", request_properties={"session_id": "s1"}
    )
    assert identity.annotations is second


def test_an_answer_that_changes_nothing_leaves_the_same_object() -> None:
    request = WebRequest(user=SimpleUser("alice"))
    identity = Identity([AuthenticatedUser(), Session(user_key="uid")], Settings()).of(request)
    identity.settle()
    known = identity.annotations

    request.session = {"uid": "bob"}
    identity.settle()

    assert identity.annotations is known


def test_one_request_learns_nothing_from_another() -> None:
    identity = Identity(None, Settings())
    alice, bob = identity.of(WebRequest({"X-User-ID": "alice"})), identity.of(WebRequest({"X-User-ID": "bob"}))

    alice.settle()
    bob.settle()

    assert (alice.annotations.user_id, bob.annotations.user_id) == ("alice", "bob")


def test_a_request_scope_takes_an_identity_as_it_is() -> None:
    identification: Identification = Identity(None, Settings()).of(WebRequest({"X-User-ID": "alice"}))
    scope = RequestScope()
    scope.identifications.append(identification)

    before = scope.annotations().user_id
    identification.settle()

    assert (before, scope.annotations().user_id) == (None, "alice")


def test_a_source_of_the_apps_own_is_asked_once_or_if_late_until_it_answers() -> None:
    class Tenant:
        name = "Tenant"
        trust = Trust.VERIFIED

        def __init__(self, late: bool) -> None:
            self.late = late
            self.asked = 0

        def read(self, incoming: Incoming) -> Annotations | None:
            self.asked += 1
            return Annotations(account_name="acme", limit_ids=("l1",)) if incoming.route else None

    late, once, request = Tenant(late=True), Tenant(late=False), WebRequest()
    identity = Identity([late, once], Settings()).of(request)
    identity.settle()
    request.route = "/chat"
    identity.settle()
    identity.settle()

    assert (late.asked, once.asked) == (2, 1)
    assert identity.annotations == Annotations(account_name="acme", limit_ids=("l1",))


def test_explain_says_which_source_won_which_field_and_no_value() -> None:
    async def lookup(incoming: Incoming) -> str:
        return "alice"

    request = WebRequest(
        {"X-User-ID": "secret", "X-Session-ID": "secret", "Authorization": "Bearer secret"}, user=SimpleUser("secret")
    )
    identity = Identity([Headers(), AuthenticatedUser(), JWT(SECRET, ["HS256"])], Settings())

    assert [tuple(line) for line in identity.explain(request)] == [
        ("AuthenticatedUser", Trust.AUTHENTICATED, ("user_id",), (), ""),
        ("JWT", Trust.VERIFIED, (), (), "named nothing"),
        ("Headers", Trust.PROXY, ("session_id",), ("user_id",), ""),
    ]
    request.peer = STRANGER
    assert identity.explain(request)[2].note == "not asked: the peer is not in trusted_proxies"
    assert Identity([lookup], Settings()).of(request).explain()[0].note == "not asked yet"
    assert "secret" not in repr(identity.explain(request))
