"""A wrong configuration is refused where it is written, with the setting and the fix."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from payi_middleware.exceptions import ConfigurationError
from payi_middleware.identity import AuthenticatedUser, Baggage, Headers, Identity, Incoming, Route, Session
from payi_middleware.settings import Settings

anything: Any = 5


class Nameless:
    name = ""
    trust = 3

    def read(self, incoming: Incoming) -> None:
        return None


class Untrusted(Nameless):
    name = "Untrusted"
    trust = 12


def identity_of(*sources: Any) -> Callable[[], object]:
    return lambda: Identity(list(sources), Settings())


def no_parameters() -> str:
    return "alice"


def too_many_parameters(incoming: Incoming, database: object) -> str:
    return "alice"


@pytest.mark.parametrize(
    ("configure", "setting", "fix"),
    [
        (identity_of(Headers), "identity", r"Write Headers\(…\)"),
        (lambda: Identity(Headers(), Settings()), "identity", r"identity=\[Headers\(\)\]"),  # type: ignore[arg-type]
        (lambda: Identity("X-User-ID", Settings()), "identity", "no list of sources"),  # type: ignore[arg-type]
        (identity_of(anything), "identity", "functions that return a user id"),
        (identity_of(None), "identity", "neither a source nor a function"),
        (identity_of(no_parameters), "identity", r"def no_parameters\(incoming\)"),
        (identity_of(too_many_parameters), "identity", r"def too_many_parameters\(incoming\)"),
        (identity_of(Nameless()), "identity", "Give it a name"),
        (identity_of(Untrusted()), "identity", "ANONYMOUS, PROXY"),
        (lambda: AuthenticatedUser(anything), "AuthenticatedUser.attribute", "attribute='email'"),
        (lambda: AuthenticatedUser(account=""), "AuthenticatedUser.account", "attribute='email'"),
        (lambda: Session(""), "Session", "user_key='user_id'"),
        (lambda: Session(None), "Session", "user_key='user_id'"),
        (lambda: Session(user_key=anything), "Session", "user_key='user_id'"),
        (lambda: Headers("X User"), "Headers", "letters, digits"),
        (lambda: Headers(session_id=""), "Headers", "letters, digits"),
        (lambda: Headers(account_name="X-Org\r\n"), "Headers", "letters, digits"),
        (lambda: Baggage("user id"), "Baggage", "letters, digits"),
        (lambda: Baggage(session_id=anything), "Baggage", "letters, digits"),
        (lambda: Route(anything), "Route.field", "'use_case_step' or 'use_case_name'"),
    ],
)
def test_a_wrong_configuration_names_the_setting_and_the_fix(
    configure: Callable[[], object], setting: str, fix: str
) -> None:
    with pytest.raises(ConfigurationError, match=fix) as refused:
        configure()

    assert refused.value.setting == setting


def test_functions_with_defaults_or_written_in_c_are_resolvers() -> None:
    def resolver(incoming: Incoming, database: object = None) -> str:
        return "alice"

    assert identity_of(resolver, str.upper, {}.get)() is not None
