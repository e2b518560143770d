"""What has no price is on record at no cost, warned of, and listed for whoever looks after prices."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from payi_middleware.service.accounts import rollups
from payi_middleware.service.ledger import Ledger

NOW = datetime.now(UTC).replace(microsecond=0)


def event(resource: str | None = "no-such-model", minutes: int = 0, **fields: Any) -> dict[str, Any]:
    at = (NOW - timedelta(minutes=minutes)).isoformat()
    units = {"text": {"input": 100, "output": 10}}
    return {"category": "system.openai", "resource": resource, "units": units, "event_timestamp": at, **fields}


def fold(ledger: Ledger) -> None:
    while ledger.write(rollups.fold):
        pass


def test_an_unknown_resource_is_booked_at_no_cost_with_a_warning_and_all_its_units(ledger: Ledger) -> None:
    result = ledger.ingest(event())["xproxy_result"]
    assert result["cost"]["total"]["base"] == 0
    assert result["unknown_units"] == {"text": {"input": 100, "output": 10}}
    assert result["warnings"] == ["no price is known for system.openai/no-such-model: recorded at no cost"]
    assert "resource_id" not in result


def test_unknown_resources_are_listed_with_when_how_often_and_how_much_they_were_used(ledger: Ledger) -> None:
    ledger.ingest(event(minutes=10))
    fold(ledger)
    ledger.ingest_bulk([event(minutes=30), event(minutes=5, units={"text": {"input": 1}, "page": {"input": 3}})])
    ledger.ingest(event("another", category="acme", minutes=1))
    ledger.ingest(event("gpt-4o"))
    fold(ledger)
    another, unknown = ledger.unpriced()
    assert (another.category, another.resource, another.requests) == ("acme", "another", 1)
    assert (unknown.category, unknown.resource, unknown.requests) == ("system.openai", "no-such-model", 3)
    assert unknown.first_seen == NOW - timedelta(minutes=30)
    assert unknown.last_seen == NOW - timedelta(minutes=5)
    assert unknown.units == {"page": {"input": 3, "output": 0}, "text": {"input": 201, "output": 20}}
    assert [one.resource for one in ledger.unpriced(1)] == ["another"]


def test_units_without_a_price_of_a_resource_that_is_known_are_listed_apart_from_it(ledger: Ledger) -> None:
    units = {"text": {"input": 100}, "guardrail_topic": {"input": 2}, "hologram": {"input": 0, "output": 7}}
    result = ledger.ingest(event("gpt-4o", units=units))["xproxy_result"]
    assert result["unknown_units"] == {
        "guardrail_topic": {"input": 2, "output": 0},
        "hologram": {"input": 0, "output": 7},
    }
    assert result["warnings"] == ["no price is known for some units: guardrail_topic, hologram"]
    assert result["cost"]["total"]["base"] > 0
    fold(ledger)
    (listed,) = ledger.unpriced()
    assert (listed.resource, listed.requests, listed.units) == ("gpt-4o", 0, result["unknown_units"])


def test_calls_that_used_nothing_or_named_no_resource_are_told_apart(ledger: Ledger) -> None:
    ledger.ingest(event(units={}, http_status_code=500))
    ledger.ingest(event(None))
    fold(ledger)
    (listed,) = ledger.unpriced()
    assert (listed.category, listed.resource, listed.requests) == ("system.openai", None, 1)


def test_a_repeat_of_a_response_is_not_counted_again(ledger: Ledger) -> None:
    for _ in range(3):
        ledger.ingest(event(provider_response_id="r"))
        fold(ledger)
    assert [one.requests for one in ledger.unpriced()] == [1]


def test_another_applications_unknown_resources_are_not_seen(ledger: Ledger, database: str) -> None:
    ledger.ingest(event())
    fold(ledger)
    with Ledger(database, application="other") as other:
        assert other.unpriced() == []
        other.ingest(event())
        fold(other)
        assert [one.requests for one in other.unpriced()] == [1]
    assert [one.requests for one in ledger.unpriced()] == [1]
