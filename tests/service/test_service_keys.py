"""Keys: each opens the books of one application, and only their digests are kept."""

from __future__ import annotations

import pytest
from sqlalchemy import select

from payi_middleware.service.errors import ServiceError
from payi_middleware.service.ledger import Ledger
from payi_middleware.service.store import schema

CALL = {"category": "system.openai", "resource": "gpt-4o-mini", "units": {"text": 7}}


def test_a_key_has_an_application_of_its_own_unless_it_is_given_one(ledger: Ledger) -> None:
    alice, bob = ledger.create_key("alice"), ledger.create_key("bob")
    embedded = ledger.create_key("me", "default")
    holders = [ledger.key_holder(key) for key in (alice, bob, embedded)]
    assert len(set(holders)) == 3
    assert holders[2] == ledger.application_id
    assert [(name, application) for name, application, _ in ledger.named_keys()] == [
        ("alice", "alice"),
        ("bob", "bob"),
        ("me", "default"),
    ]
    assert ledger.key_holder(ledger.create_key("alice's phone", "alice")) == holders[0]


def test_what_one_application_books_another_does_not_see(ledger: Ledger) -> None:
    holder = ledger.key_holder(ledger.create_key("bob"))
    assert holder is not None
    other = ledger.of(holder)
    ledger.create_limit(limit_name="one", max=1, limit_id="one")
    first = ledger.ingest({**CALL, "provider_response_id": "r", "user_id": "alice", "limit_ids": ["one"]})
    assert (other.requests(), other.limits(), other.usage_by_user()) == ([], [], [])
    assert other.result(first["request_id"]) is None
    assert other.result_by_provider_response_id("system.openai", "r") is None
    with pytest.raises(ServiceError) as caught:
        other.limit("one")
    assert caught.value.status == 404
    with pytest.raises(ServiceError) as caught:
        other.ingest({**CALL, "limit_ids": ["one"]})
    assert caught.value.code == "invalid_limit_ids"
    again = other.ingest({**CALL, "provider_response_id": "r"})
    assert "duplicate_request" not in again["xproxy_result"]
    other.create_limit(limit_name="one", max=5, limit_id="one")
    assert ledger.limit("one")["max"] == 1


def test_no_key_is_kept_as_it_is(ledger: Ledger) -> None:
    key = ledger.create_key("alice")
    (row,) = ledger._store.read(lambda connection: connection.execute(select(schema.keys)).all())
    secret = key.split("_", 2)[2]
    assert secret not in repr(row)
    assert len(secret) >= 40


@pytest.mark.parametrize("change", ["", "x", "payi_", "payi__", "PAYI", "one more", "\0", "\udcff", "x" * 100_000])
def test_a_key_that_is_not_quite_it_opens_nothing(ledger: Ledger, change: str) -> None:
    key = ledger.create_key("alice")
    holder = ledger.key_holder(key)
    wrong = {"one more": key + "A", "PAYI": key.upper(), "": ""}.get(change, change)
    assert ledger.key_holder(wrong) is None
    assert ledger.key_holder(key[:-1]) is None
    assert ledger.key_holder(key) == holder


def test_a_revoked_key_opens_nothing_and_leaves_its_name_and_its_books(ledger: Ledger) -> None:
    key = ledger.create_key("alice")
    holder = ledger.key_holder(key)
    assert ledger.revoke_key("alice")
    assert not ledger.revoke_key("alice")
    assert ledger.key_holder(key) is None
    assert ledger.named_keys() == []
    new = ledger.create_key("alice")
    assert new != key
    assert ledger.key_holder(new) == holder


@pytest.mark.parametrize("name", ["alice", "", "  ", "x" * 257, "a\0b"])
def test_a_name_that_is_taken_or_none_is_refused(ledger: Ledger, name: str) -> None:
    ledger.create_key("alice")
    with pytest.raises(ServiceError):
        ledger.create_key(name)
    assert len(ledger.named_keys()) == 1
