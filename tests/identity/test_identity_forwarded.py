"""Headers and baggage: believed from trusted proxies, from nobody else, and never about limits or prices."""

from __future__ import annotations

import logging
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry import baggage
from opentelemetry.baggage.propagation import W3CBaggagePropagator
from opentelemetry.context import Context

from payi_middleware.annotations import NOTHING
from payi_middleware.asgi import AsgiIncoming
from payi_middleware.identity import Baggage, Headers, Identity, Trust
from payi_middleware.settings import Settings

from .web_request import LOOPBACK, STRANGER, WebRequest, who

EVERYTHING = {
    "X-User-ID": "alice",
    "X-Session-ID": "s1",
    "xProxy-Account-Name": "acme",
    "xProxy-UseCase-Name": "chat",
    "xProxy-UseCase-ID": "c1",
    "xProxy-UseCase-Step": "draft",
    "xProxy-UseCase-Version": "3",
    "xProxy-UseCase-Properties": '{"tone": "calm"}',
    "xProxy-Request-Tags": "a, b",
    "xProxy-Request-Properties": '{"team": "blue"}',
    "baggage": "user.id=alice,session.id=s1",
}
FORBIDDEN = {
    "xProxy-Limit-IDs": "l1,l2",
    "xProxy-PriceAs-Category": "system.openai",
    "xProxy-PriceAs-Resource": "gpt-0",
    "xProxy-Resource-Scope": "global",
    "xProxy-Logging-Disable": "False",
    "xProxy-Proxy": "True",
}


def test_a_trusted_peer_names_user_session_account_use_case_tags_and_properties() -> None:
    found = who(WebRequest(EVERYTHING))

    assert (found.user_id, found.session_id, found.account_name) == ("alice", "s1", "acme")
    assert (found.use_case_name, found.use_case_id, found.use_case_step, found.use_case_version) == (
        "chat",
        "c1",
        "draft",
        3,
    )
    assert found.request_tags == ("a", "b")
    assert dict(found.use_case_properties or {}) == {"tone": "calm"}
    assert dict(found.request_properties or {}) == {"team": "blue", "session_id": "s1"}


@pytest.mark.parametrize(
    "peer", [STRANGER, None, "", "testclient", "127.0.0.1:80", "127.0.0.1 ", "0x7f.1", "2001:db8::1"]
)
def test_headers_of_an_untrusted_peer_change_nothing(peer: str | None) -> None:
    assert who(WebRequest(EVERYTHING, peer=peer), [Headers(), Baggage()]) is NOTHING


@pytest.mark.parametrize("peer", [LOOPBACK, "127.8.9.10", "::1", "::ffff:127.0.0.1", "::ffff:7f00:1"])
def test_loopback_is_trusted_by_default_also_through_a_dual_stack_socket(peer: str) -> None:
    assert who(WebRequest({"X-User-ID": "alice"}, peer=peer)).user_id == "alice"


def test_the_trusted_networks_are_the_apps_to_choose() -> None:
    networks = ["10.0.0.0/8", "fe80::/10"]

    assert who(WebRequest(EVERYTHING, peer="10.1.2.3"), trusted_proxies=networks).user_id == "alice"
    assert who(WebRequest(EVERYTHING, peer="fe80::1%eth0"), trusted_proxies=networks).user_id == "alice"
    assert who(WebRequest(EVERYTHING, peer=LOOPBACK), trusted_proxies=networks) is NOTHING
    assert who(WebRequest(EVERYTHING, peer=LOOPBACK), trusted_proxies=[]) is NOTHING


@given(st.text() | st.ip_addresses(network="203.0.113.0/24").map(str))
def test_no_text_makes_a_stranger_trusted(peer: str) -> None:
    assert who(WebRequest(EVERYTHING, peer=peer), trusted_proxies=["192.0.2.1"]) is NOTHING


@pytest.mark.parametrize("peer", [LOOPBACK, STRANGER])
def test_no_client_can_name_limits_prices_scopes_logging_or_routing(peer: str) -> None:
    request = WebRequest(FORBIDDEN, peer=peer)

    assert who(request) is NOTHING
    assert Headers().read(request) is NOTHING


def test_a_source_that_only_a_proxy_vouches_for_cannot_name_limits_either() -> None:
    from payi_middleware.annotations import Annotations

    class Gateway:
        name = "Gateway"
        trust = Trust.PROXY

        def read(self, incoming: object) -> Annotations:
            return Annotations(user_id="alice", limit_ids=("l1",), price_as_resource="gpt-0", proxy=True)

    assert who(WebRequest(), [Gateway()]) == Annotations(user_id="alice")
    assert who(WebRequest(peer=STRANGER), [Gateway()]) is NOTHING


def test_a_plain_header_beats_its_xproxy_counterpart_and_an_empty_one_does_not() -> None:
    both = {"X-User-ID": "alice", "xProxy-User-ID": "mallory"}

    assert who(WebRequest(both)).user_id == "alice"
    assert who(WebRequest({**both, "X-User-ID": " "})).user_id == "mallory"


def test_xproxy_headers_can_be_left_out() -> None:
    assert who(WebRequest({"xProxy-User-ID": "mallory"}), [Headers(xproxy=False)]) is NOTHING


def test_header_names_come_from_the_source_or_else_from_the_settings() -> None:
    request = WebRequest({"X-Mail": "alice@example.com", "X-Sid": "s2", "X-Org": "acme", "X-User-ID": "bob"})

    named = who(request, [Headers("X-Mail", account_name="X-Org")], session_id_header="X-Sid")

    assert (named.user_id, named.session_id, named.account_name) == ("alice@example.com", "s2", "acme")
    assert who(request, user_id_header="X-Mail").user_id == "alice@example.com"


@pytest.mark.parametrize("version", ["9" * 5000, "1234567890", "x"])
def test_a_version_that_is_none_costs_only_itself(version: str) -> None:
    found = who(WebRequest({"X-User-ID": "alice", "xProxy-UseCase-Version": version}))

    assert (found.user_id, found.use_case_version) == ("alice", None)


@pytest.mark.parametrize("properties", ["{", "[1]", "{" * 5000, '{"a": ' * 5000, "AAAA"])
def test_properties_that_are_no_json_object_cost_only_themselves(properties: str) -> None:
    found = who(WebRequest({"X-User-ID": "alice", "xProxy-Request-Properties": properties}))

    assert (found.user_id, found.request_properties) == ("alice", None)


def test_baggage_of_a_trusted_peer_names_user_and_session() -> None:
    header = "other=1, user.id = alice%20b%C3%A9 ;tier=gold , session.id=s1,tenant=acme"

    found = who(WebRequest({"baggage": header}), [Baggage(account_name="tenant")])

    assert (found.user_id, found.session_id, found.account_name) == ("alice bé", "s1", "acme")


def test_what_opentelemetry_sends_is_what_is_read() -> None:
    carrier: dict[str, str] = {}
    user = "josé+test@example.com; 🦀, b=c"
    W3CBaggagePropagator().inject(carrier, baggage.set_baggage("user.id", user, Context()))

    assert who(WebRequest(carrier), [Baggage()]).user_id == user


def test_the_last_of_two_members_wins_as_in_opentelemetry() -> None:
    assert who(WebRequest({"baggage": "user.id=mallory,user.id=alice"}), [Baggage()]).user_id == "alice"


def test_the_baggage_of_the_process_is_not_taken_for_the_requests() -> None:
    from opentelemetry.context import attach, detach

    token = attach(baggage.set_baggage("user.id", "worker"))
    try:
        assert who(WebRequest({"baggage": "session.id=s1"}), [Baggage()]).user_id is None
    finally:
        detach(token)


@pytest.mark.parametrize(
    "header",
    [
        "user.id=secret value",
        'user.id="secret"',
        "user.id=sécret",
        "user.id=secret\\",
        "user.id=" + "secret" * 20_000,
        "secret" * 20_000,
        "secret",
        "user.id",
        ",,=,;",
    ],
)
def test_baggage_that_cannot_be_read_is_no_identity_and_its_values_stay_out_of_every_log(
    header: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)

    assert who(WebRequest({"baggage": header}), [Baggage()]) is NOTHING
    assert "secret" not in caplog.text
    assert "sécret" not in caplog.text


@given(st.text(min_size=1, max_size=50).filter(lambda text: text.isprintable() and text.strip() == text))
def test_any_printable_user_survives_the_journey_through_baggage(user: str) -> None:
    request = WebRequest({"baggage": "user.id=" + quote(user, safe="")})

    assert who(request, [Baggage()]).user_id == user


def test_the_verdict_on_a_peer_is_remembered_within_bounds() -> None:
    identity = Identity([Headers()], Settings())

    for number in range(3000):
        identity.of(WebRequest(EVERYTHING, peer=f"203.0.{number // 256}.{number % 256}")).settle()

    trusts = identity._entries.each[0].trusts
    assert trusts.cache_info().currsize == 1024  # type: ignore[attr-defined]


def test_the_first_value_of_a_header_is_read_as_it_is_now_whatever_an_inner_layer_has_put_in_its_place() -> None:
    headers = [(b"X-User-Id", b"alice"), (b"x-user-id", b"second")]
    incoming = AsgiIncoming({"headers": headers})
    assert incoming.header("x-user-id") == "alice"
    headers[0] = (b"x-user-id", b"bob")
    assert incoming.header("x-user-id") == "bob"
