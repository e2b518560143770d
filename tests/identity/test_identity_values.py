"""Hostile and odd values, the same in every source."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from itertools import product
from urllib.parse import quote

import jwt
import pytest
from hypothesis import given
from hypothesis import strategies as st
from starlette.authentication import SimpleUser

from payi_middleware.annotations import NOTHING, Annotations
from payi_middleware.identity import JWT, AuthenticatedUser, Baggage, Headers, Route, Session

from .web_request import Sources, WebRequest, who

SECRET = "a secret of at least sixty-four bytes, long enough for any of them"
Asked = Callable[[str], tuple[WebRequest, Sources]]

HOSTILE = {
    "CR": "mal\rlory",
    "LF": "mallory\n",
    "NUL": "\x00mallory",
    "tab within": "mal\tlory",
    "DEL": "mal\x7flory",
    "C1": "mal\x85lory",
    "CRLF and a header": "mallory\r\nX-Payi-Cost: 0",
    "100 KB": "mallory" * 15_000,
    "one too long": "m" * 257,
    "lone surrogate": "mal\ud800lory",
}
USER_SOURCES: dict[str, Asked] = {
    "AuthenticatedUser": lambda value: (WebRequest(user=SimpleUser(value)), [AuthenticatedUser()]),
    "account": lambda value: (
        WebRequest(user=SimpleUser("")),
        [AuthenticatedUser(lambda user: None, account=lambda user: value)],
    ),
    "Session": lambda value: (WebRequest(session={"session_id": value}), [Session()]),
    "Headers": lambda value: (WebRequest({"X-User-ID": value}), [Headers()]),
    "xProxy": lambda value: (WebRequest({"xProxy-UseCase-Step": value}), [Headers()]),
    "property": lambda value: (WebRequest({"xProxy-Request-Properties": json.dumps({"k": value})}), [Headers()]),
    "property name": lambda value: (WebRequest({"xProxy-UseCase-Properties": json.dumps({value: "v"})}), [Headers()]),
    "tag": lambda value: (WebRequest({"xProxy-Request-Tags": value.replace("\n", "\n.")}), [Headers()]),
    "Baggage": lambda value: (
        WebRequest({"baggage": "user.id=" + quote(value.encode("utf-8", "surrogatepass"), safe="")}),
        [Baggage()],
    ),
    "JWT": lambda value: (
        WebRequest({"Authorization": "Bearer " + jwt.encode({"uid": value, "exp": time.time() + 60}, SECRET)}),
        [JWT(SECRET, ["HS256"], user_claim="uid")],
    ),
    "Route": lambda value: (WebRequest(route=value), [Route()]),
    "resolver": lambda value: (WebRequest(), [lambda incoming: value]),
    "resolver's dict": lambda value: (WebRequest(), [lambda incoming: {"limit_ids": [value]}]),
    "resolver's annotations": lambda value: (WebRequest(), [lambda incoming: Annotations(use_case_id=value)]),
}
DEFUSED = {("xProxy", "LF"), ("Baggage", "LF"), ("Baggage", "lone surrogate")}
"""What the readers of the formats have made harmless: `xProxy-*` headers and baggage are read without the blanks
around them, and percent-decoding replaces what is no UTF-8."""


@pytest.mark.parametrize(
    ("source", "hostile"), [pair for pair in product(USER_SOURCES, HOSTILE) if pair not in DEFUSED]
)
def test_a_hostile_value_is_dropped_with_one_warning_that_does_not_repeat_it(
    source: str, hostile: str, caplog: pytest.LogCaptureFixture
) -> None:
    request, sources = USER_SOURCES[source](HOSTILE[hostile])

    assert who(request, sources) is NOTHING
    assert len(caplog.records) == 1
    assert "dropped" in caplog.text
    assert "mal" not in caplog.text
    assert "lory" not in caplog.text


@pytest.mark.parametrize(("source", "hostile"), sorted(DEFUSED))
def test_what_a_reader_of_a_format_made_harmless_is_harmless(source: str, hostile: str) -> None:
    request, sources = USER_SOURCES[source](HOSTILE[hostile])

    found = who(request, sources)
    value = found.user_id or found.use_case_step

    assert value is not None
    assert value.isprintable()
    assert value.encode()


@pytest.mark.parametrize("value", ["josé", "用户", "🦀", "zoë@example.com", "a b", "m" * 256, "O'Neil; DROP", "Ã©"])
@pytest.mark.parametrize("source", ["AuthenticatedUser", "Headers", "Baggage", "JWT", "resolver"])
def test_any_other_text_is_an_id(source: str, value: str) -> None:
    request, sources = USER_SOURCES[source](value)

    assert who(request, sources).user_id == value


@pytest.mark.parametrize("value", ["", " ", "\t ", "\u00a0", "\u3000"])
@pytest.mark.parametrize("source", [name for name in USER_SOURCES if name not in ("tag", "account")])
def test_an_empty_value_counts_as_not_given_and_is_nothing_to_warn_about(
    source: str, value: str, caplog: pytest.LogCaptureFixture
) -> None:
    request, sources = USER_SOURCES[source](value)

    assert who(request, sources) is NOTHING
    assert not caplog.records


def test_blanks_around_a_value_are_taken_off() -> None:
    assert who(WebRequest({"X-User-ID": "\t alice "})).user_id == "alice"


@pytest.mark.parametrize("name", ["chat bot", "chät", "a" * 65, "a/b", "chat\n"])
def test_a_use_case_name_outside_its_alphabet_is_dropped_with_what_belongs_to_it(
    name: str, caplog: pytest.LogCaptureFixture
) -> None:
    headers = {"xProxy-UseCase-ID": "c1", "xProxy-UseCase-Version": "2", "xProxy-User-ID": "alice"}

    assert who(WebRequest(headers), [lambda incoming: {"use_case_name": name}, Headers()]) == Annotations(
        user_id="alice", use_case_id="c1", use_case_version=2
    )
    both = who(WebRequest(), [lambda incoming: {"use_case_name": name, "use_case_id": "c1", "user_id": "alice"}])
    assert both == Annotations(user_id="alice")
    assert "use_case_name" in caplog.text


def test_one_bad_item_costs_a_list_or_a_mapping_only_itself() -> None:
    headers = {"xProxy-Request-Tags": "good,b d", "xProxy-Request-Properties": '{"a": "1", "b": "x\\n", "c": null}'}

    found = who(WebRequest(headers))

    assert found.request_tags == ("good",)
    assert dict(found.request_properties or {}) == {"a": "1"}


def test_a_refused_value_makes_way_for_a_less_trusted_source() -> None:
    assert who(WebRequest({"X-User-ID": "alice"}, user=SimpleUser("mal\nlory"))).user_id == "alice"


def test_the_longest_id_is_the_apps_to_choose() -> None:
    assert who(WebRequest({"X-User-ID": "alice"}), identity_max_length=5).user_id == "alice"
    assert who(WebRequest({"X-User-ID": "alice"}), identity_max_length=4) is NOTHING


def test_the_same_trouble_is_said_once(caplog: pytest.LogCaptureFixture) -> None:
    for number in range(50):
        who(WebRequest({"X-User-ID": f"mallory{number}\n"}))

    assert len(caplog.records) == 1
    assert "Headers" in caplog.text
    assert "user_id" in caplog.text


@given(st.text() | st.text(st.characters(categories=["Cc", "Cs"])))
def test_whatever_is_accepted_is_short_clean_utf8(value: str) -> None:
    for user in (
        who(WebRequest({"X-User-ID": value})).user_id,
        who(WebRequest(user=SimpleUser(value))).user_id,
        who(WebRequest(), [lambda incoming: value]).user_id,
    ):
        if user is not None:
            assert 0 < len(user.encode()) <= 4 * 256
            assert not any(ord(letter) < 32 or 127 <= ord(letter) < 160 for letter in user)
