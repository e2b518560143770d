"""Limits: making them, charging them, and their states at the edges."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from payi_middleware.service.errors import ServiceError
from payi_middleware.service.ledger import Ledger

CENT = {"text": {"input": 4_000}}  # gpt-4o: 2.50 USD per million input tokens


def spend(ledger: Ledger, *limit_ids: str, **changes: Any) -> dict[str, Any]:
    item = {"category": "system.openai", "resource": "gpt-4o", "units": CENT, "limit_ids": list(limit_ids), **changes}
    result: dict[str, Any] = ledger.ingest(item)["xproxy_result"]
    return result


def state(result: dict[str, Any], limit_id: str = "one") -> str:
    return str(result["limits"][limit_id]["state"])


def refused(ledger: Ledger, **settings: Any) -> str:
    with pytest.raises(ServiceError) as caught:
        ledger.create_limit(**{"limit_name": "one", "max": 1, **settings})
    assert caught.value.status == 400
    return caught.value.code


def test_a_new_limit_has_empty_totals_an_id_and_the_type_allow(ledger: Ledger) -> None:
    limit = ledger.create_limit(limit_name="monthly", max=12.5)
    assert limit["limit_id"]
    assert (limit["limit_type"], limit["max"], limit["threshold"]) == ("allow", Decimal("12.5"), None)
    assert limit["limit_creation_timestamp"].endswith("Z")
    assert limit["totals"]["cost"]["total"] == {"base": 0, "overrun_base": None}
    assert set(limit["totals"]["requests"].values()) == {0}
    assert ledger.limit(limit["limit_id"]) == limit
    assert ledger.limits() == [limit]


def test_making_a_limit_again_with_the_same_max_and_threshold_returns_it(ledger: Ledger) -> None:
    limit = ledger.create_limit(limit_name="one", max=1, limit_id="one", threshold=0.8)
    again = ledger.create_limit(limit_name="other", max=Decimal("1.0"), limit_id="one", threshold=0.80)
    assert again == limit


@pytest.mark.parametrize("settings", [{"max": 2}, {"threshold": 0.9}])
def test_making_a_limit_again_with_another_max_or_threshold_is_refused(
    ledger: Ledger, settings: dict[str, Any]
) -> None:
    ledger.create_limit(limit_name="one", max=1, limit_id="one")
    assert refused(ledger, limit_id="one", **settings) == "create_limit_validation_failed"


def test_a_limits_name_is_unique(ledger: Ledger) -> None:
    ledger.create_limit(limit_name="one", max=1)
    assert refused(ledger) == "limit_name_already_exist"


@pytest.mark.parametrize(
    ("settings", "code"),
    [
        ({"max": 0}, "invalid_max_limit"),
        ({"max": -1}, "invalid_max_limit"),
        ({"max": float("inf")}, "invalid_max_limit"),
        ({"max": "1"}, "invalid_max_limit"),
        ({"max": Decimal("1e13")}, "invalid_max_limit"),
        ({"max": None}, "required_field_missing"),
        ({"limit_name": ""}, "required_field_missing"),
        ({"limit_type": "deny"}, "create_limit_validation_failed"),
        ({"threshold": 0.74}, "create_limit_validation_failed"),
        ({"threshold": 1}, "create_limit_validation_failed"),
        ({"threshold": float("nan")}, "create_limit_validation_failed"),
        ({"limit_id": "a,b"}, "create_limit_validation_failed"),
    ],
)
def test_a_wrong_setting_is_refused_with_its_code(ledger: Ledger, settings: dict[str, Any], code: str) -> None:
    assert refused(ledger, **settings) == code
    assert ledger.limits() == []


def test_an_unknown_limit_is_not_found(ledger: Ledger) -> None:
    with pytest.raises(ServiceError) as caught:
        ledger.limit("unknown")
    assert (caught.value.status, caught.value.code) == (404, "limit_not_found")


def test_states_change_exactly_at_the_threshold_and_above_the_maximum(ledger: Ledger) -> None:
    ledger.create_limit(limit_name="one", max=0.05, limit_id="one", threshold=0.8)
    assert [state(spend(ledger, "one")) for _ in range(6)] == ["ok", "ok", "ok", "exceeded", "exceeded", "overrun"]
    totals = ledger.limit("one")["totals"]
    assert totals["requests"] == {
        "ok": 3,
        "blocked": 0,
        "blocked_external": 0,
        "exceeded": 2,
        "overrun": 1,
        "failed": 0,
        "total": 6,
    }
    assert totals["cost"]["total"] == {"base": Decimal("0.06"), "overrun_base": Decimal("0.01")}
    assert (totals["cost"]["input"]["base"], totals["cost"]["output"]["base"]) == (Decimal("0.06"), 0)


def test_without_a_threshold_a_limit_is_exceeded_when_the_maximum_is_reached(ledger: Ledger) -> None:
    ledger.create_limit(limit_name="one", max=0.02, limit_id="one")
    assert [state(spend(ledger, "one")) for _ in range(3)] == ["ok", "exceeded", "overrun"]


def test_a_requests_own_overrun_is_its_part_above_the_maximum_and_the_largest_of_several(ledger: Ledger) -> None:
    ledger.create_limit(limit_name="one", max=0.015, limit_id="one")
    ledger.create_limit(limit_name="two", max=0.018, limit_id="two")
    assert "overrun_base" not in spend(ledger, "one", "two")["cost"]["total"]
    crossing = spend(ledger, "one", "two")
    assert crossing["cost"]["total"] == {"base": Decimal("0.01"), "overrun_base": Decimal("0.005")}
    assert spend(ledger, "one", "two")["cost"]["total"]["overrun_base"] == Decimal("0.01")


def test_one_request_charges_all_its_limits_and_answers_them_in_its_order(ledger: Ledger) -> None:
    for name in ("a", "b", "c"):
        ledger.create_limit(limit_name=name, max=1, limit_id=name)
    assert list(spend(ledger, "c", " a ", "")["limits"]) == ["c", "a"]
    assert [limit["totals"]["requests"]["total"] for limit in ledger.limits()] == [1, 0, 1]


def test_a_failed_call_is_counted_as_failed_even_above_the_maximum(ledger: Ledger) -> None:
    ledger.create_limit(limit_name="one", max=0.005, limit_id="one")
    assert state(spend(ledger, "one", http_status_code=500)) == "failed"
    totals = ledger.limit("one")["totals"]
    assert (totals["requests"]["failed"], totals["requests"]["overrun"]) == (1, 0)
    assert totals["cost"]["total"]["base"] == Decimal("0.01")


def test_a_block_limit_is_charged_by_an_ingest_with_a_warning(ledger: Ledger) -> None:
    ledger.create_limit(limit_name="one", max=0.005, limit_id="one", limit_type="block")
    result = spend(ledger, "one")
    assert state(result) == "overrun"
    assert result["blocked_limit_ids"] == []
    assert "of type block" in result["warnings"][0]


def test_an_event_with_one_unknown_limit_charges_none_of_the_others(ledger: Ledger) -> None:
    ledger.create_limit(limit_name="one", max=1, limit_id="one")
    with pytest.raises(ServiceError, match="unknown") as caught:
        spend(ledger, "one", "unknown")
    assert caught.value.code == "invalid_limit_ids"
    assert ledger.limit("one")["totals"]["requests"]["total"] == 0


def test_many_small_costs_add_up_without_rounding(ledger: Ledger) -> None:
    ledger.create_limit(limit_name="one", max=1, limit_id="one")
    one = {"category": "system.openai", "resource": "gpt-4o-mini", "units": {"text": 1}, "limit_ids": ["one"]}
    ledger.ingest_bulk([one] * 300)
    assert ledger.limit("one")["totals"]["cost"]["total"]["base"] == Decimal("0.000045")
