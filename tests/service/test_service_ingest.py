"""Booking events: what is accepted, what is refused, and what is kept."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from sqlalchemy import Connection, select

from payi_middleware.results import XproxyResult
from payi_middleware.service.accounts import definitions
from payi_middleware.service.accounts.instances import get
from payi_middleware.service.errors import ServiceError
from payi_middleware.service.ledger import Ledger
from payi_middleware.service.store.schema import use_case_instances as instances

RECEIVED = datetime(2026, 11, 20, 12, tzinfo=UTC)


def call(**changes: Any) -> dict[str, Any]:
    units = {"text": {"input": 1_000, "output": 500}}
    return {"category": "system.openai", "resource": "gpt-4o-mini", "units": units, **changes}


def ingest(ledger: Ledger, **changes: Any) -> dict[str, Any]:
    result: dict[str, Any] = ledger.ingest(call(**changes), received=RECEIVED)["xproxy_result"]
    return result


def refused(ledger: Ledger, item: Any) -> str:
    with pytest.raises(ServiceError) as caught:
        ledger.ingest(item, received=RECEIVED)
    assert caught.value.status == 400
    assert ledger.requests() == []
    return caught.value.code


def test_the_answer_has_times_ids_and_the_exact_cost_by_direction(ledger: Ledger) -> None:
    answer = ledger.ingest(call(user_id="alice", account_name="acme", request_tags=["a", "b"]), received=RECEIVED)
    result = answer["xproxy_result"]
    assert answer["event_timestamp"] == answer["ingest_timestamp"] == "2026-11-20T12:00:00.000000Z"
    assert answer["request_id"] == result["request_id"]
    assert result["cost"] == {
        "currency": "usd",
        "input": {"base": Decimal("0.00015")},
        "output": {"base": Decimal("0.0003")},
        "total": {"base": Decimal("0.00045")},
    }
    assert (result["user_id"], result["account_name"], result["request_tags"]) == ("alice", "acme", ["a", "b"])
    assert result["resource_id"]
    assert "warnings" not in result
    assert "duplicate_request" not in result


def test_the_answer_reads_as_the_clients_own_model_of_a_result(ledger: Ledger) -> None:
    result = XproxyResult.model_validate(ingest(ledger, user_id="alice"))
    assert result.cost is not None
    assert result.cost.total is not None
    assert result.cost.total.base == Decimal("0.00045")


def test_a_repeat_answers_with_the_first_request_id_and_cost_and_is_charged_once(ledger: Ledger) -> None:
    ledger.create_limit(limit_name="monthly", max=1, limit_id="monthly")
    first = ingest(ledger, provider_response_id="resp_1", limit_ids=["monthly"])
    again = ingest(ledger, provider_response_id="resp_1", limit_ids=["monthly"], units={"text": 9_999})
    assert again == {**first, "duplicate_request": True}
    assert ledger.limit("monthly")["totals"]["requests"]["total"] == 1
    assert len(ledger.requests()) == 1


def test_the_same_response_id_of_another_category_is_another_request(ledger: Ledger) -> None:
    ingest(ledger, provider_response_id="resp_1")
    other = ingest(ledger, provider_response_id="resp_1", category="system.azureopenai")
    assert "duplicate_request" not in other


def test_events_without_a_response_id_are_never_repeats(ledger: Ledger) -> None:
    assert ingest(ledger)["request_id"] != ingest(ledger)["request_id"]


def test_a_first_delivery_with_a_failed_status_counts_against_a_later_one(ledger: Ledger) -> None:
    ingest(ledger, provider_response_id="resp_1", units={}, http_status_code=500)
    again = ingest(ledger, provider_response_id="resp_1", http_status_code=200)
    assert again["duplicate_request"] is True
    assert again["cost"]["total"]["base"] == 0


@pytest.mark.parametrize("changes", [{"resource": "no-such-model"}, {"category": "acme"}, {"resource": None}])
def test_an_unknown_resource_is_accepted_at_no_cost_with_a_warning(ledger: Ledger, changes: dict[str, Any]) -> None:
    result = ingest(ledger, **changes)
    assert result["cost"]["total"]["base"] == 0
    assert result["unknown_units"] == {"text": {"input": 1_000, "output": 500}}
    assert "no price is known" in result["warnings"][0]
    assert "resource_id" not in result


def test_units_without_a_price_are_named_with_their_counts_and_the_others_are_billed(ledger: Ledger) -> None:
    result = ingest(ledger, units={"text": {"input": 1_000}, "guardrail_topic": {"input": 2}})
    assert result["unknown_units"] == {"guardrail_topic": {"input": 2, "output": 0}}
    assert result["cost"]["total"]["base"] == Decimal("0.00015")


def test_a_bare_integer_as_a_units_value_is_its_input(ledger: Ledger) -> None:
    assert ingest(ledger, units={"text": 1_000})["cost"]["input"]["base"] == Decimal("0.00015")


@pytest.mark.parametrize("status", [299, 400, 429, 503])
def test_a_failed_call_is_counted_and_costs_nothing_without_units(ledger: Ledger, status: int) -> None:
    result = ingest(ledger, units={}, http_status_code=status, user_id="alice")
    assert result["cost"]["total"]["base"] == 0
    assert "warnings" not in result
    assert [(row.calls, row.failed) for row in ledger.usage_by_user()] == [(1, 1)]


def test_a_failed_call_with_units_costs_what_they_cost(ledger: Ledger) -> None:
    assert ingest(ledger, http_status_code=500)["cost"]["total"]["base"] == Decimal("0.00045")


def test_a_failed_call_is_not_charged_the_providers_fee_per_request(ledger: Ledger) -> None:
    changes = {"category": "perplexity", "resource": "sonar", "units": {"text": 1_000}}
    assert ingest(ledger, **changes)["cost"]["total"]["base"] == Decimal("0.013")
    assert ingest(ledger, **changes, http_status_code=500)["cost"]["total"]["base"] == Decimal("0.001")


def test_a_status_below_400_is_no_failure(ledger: Ledger) -> None:
    ingest(ledger, http_status_code=399)
    assert ledger.usage_by_user()[0].failed == 0


def test_an_event_up_to_five_minutes_ahead_is_accepted_and_later_ones_are_refused(ledger: Ledger) -> None:
    late = RECEIVED + timedelta(minutes=5, microseconds=1)
    assert refused(ledger, call(event_timestamp=late.isoformat())) == "invalid_ingest_event_timestamp"
    ingest(ledger, event_timestamp=(RECEIVED + timedelta(minutes=5)).isoformat())


def test_an_event_of_the_past_is_priced_by_its_own_time_and_keeps_it_in_utc(ledger: Ledger) -> None:
    item = call(resource="o3", units={"text": 1_000_000}, event_timestamp="2025-06-10T01:00:00+02:00")
    answer = ledger.ingest(item, received=RECEIVED)
    assert answer["event_timestamp"] == "2025-06-09T23:00:00.000000Z"
    assert answer["xproxy_result"]["cost"]["total"]["base"] == 10


@pytest.mark.parametrize("value", ["yesterday", 17, "2025-13-01T00:00:00Z", "0001-01-01T00:00:00+10:00"])
def test_a_timestamp_that_is_none_is_refused(ledger: Ledger, value: Any) -> None:
    assert refused(ledger, call(event_timestamp=value)) == "invalid_ingest_event_timestamp"


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"category": ""}, "required_field_missing"),
        ({"category": None}, "required_field_missing"),
        ({"units": None}, "required_field_missing"),
        ({"category": 7}, "request_processing_error"),
        ({"units": []}, "request_processing_error"),
        ({"units": {"text": {"input": -1}}}, "request_processing_error"),
        ({"units": {"text": {"input": 10**12 + 1}}}, "request_processing_error"),
        ({"units": {"text": {"input": "many"}}}, "request_processing_error"),
        ({"units": {"text": True}}, "request_processing_error"),
        ({"units": {"": 1}}, "request_processing_error"),
        ({"user_id": 7}, "invalid_user_id"),
        ({"user_id": "nul\0"}, "invalid_user_id"),
        ({"user_id": "\ud800"}, "invalid_user_id"),
        ({"user_id": "u" * 4097}, "invalid_user_id"),
        ({"account_name": "nul\0"}, "request_processing_error"),
        ({"request_tags": ["a b"]}, "invalid_tags"),
        ({"request_tags": "a"}, "invalid_tags"),
        ({"limit_ids": ["unknown"]}, "invalid_limit_ids"),
        ({"limit_ids": "one"}, "invalid_limit_ids"),
        ({"limit_ids": ["one", " one"]}, "duplicate_limit_id"),
        ({"use_case_name": "has space"}, "invalid_use_case_name"),
        ({"use_case_name": "n" * 65}, "invalid_use_case_name"),
        ({"use_case_name": "naïve"}, "invalid_use_case_name"),
        ({"use_case_version": "1"}, "request_processing_error"),
        ({"http_status_code": 1000}, "request_processing_error"),
        ({"end_to_end_latency_ms": -1}, "request_processing_error"),
        ({"end_to_end_latency_ms": float("nan")}, "request_processing_error"),
        ({"properties": []}, "request_processing_error"),
        ({"properties": {"a": 1}}, "request_processing_error"),
        ({"provider_request_json": object()}, "request_processing_error"),
    ],
)
def test_a_wrong_field_is_refused_with_its_code_and_changes_nothing(
    ledger: Ledger, changes: dict[str, Any], code: str
) -> None:
    assert refused(ledger, call(**changes)) == code


def test_what_is_no_object_is_refused(ledger: Ledger) -> None:
    assert refused(ledger, ["category"]) == "request_processing_error"


def test_missing_category_and_units_are_refused(ledger: Ledger) -> None:
    assert refused(ledger, {"units": {}}) == "required_field_missing"
    assert refused(ledger, {"category": "system.openai"}) == "required_field_missing"


def test_a_use_case_name_without_an_id_gets_a_new_id_each_time(ledger: Ledger) -> None:
    first, second = ingest(ledger, use_case_name="chat"), ingest(ledger, use_case_name="chat")
    assert first["use_case_name"] == "chat"
    assert first["use_case_id"] != second["use_case_id"]


def test_a_use_case_keeps_the_callers_own_id_and_step(ledger: Ledger) -> None:
    result = ingest(ledger, use_case_name="a.b-c_1", use_case_id="0.123", use_case_step="draft")
    assert (result["use_case_id"], result["use_case_step"]) == ("0.123", "draft")


@pytest.mark.parametrize("ids", [3, 100], ids=["few", "many"])
def test_an_id_is_another_instance_in_each_use_case(ledger: Ledger, ids: int) -> None:
    """Few are looked up all at once, many by the name of their use case."""
    calls = [
        call(use_case_name=name, use_case_id=str(number), use_case_properties={"of": f"{name} {number}"})
        for name in ("chat", "search", "triage")
        for number in range(ids)
    ]
    for _ in range(2):
        assert ledger.ingest_bulk(calls)["error_count"] == 0

    found = ledger.read(_instances)
    assert found == {(one["use_case_name"], one["use_case_id"]): one["use_case_properties"] for one in calls}


@pytest.mark.parametrize(("named", "made_under"), [((1, 2), 1), ((None, 1), 2), ((9, 1), 2)])
def test_of_requests_that_come_together_the_first_names_the_version_that_their_instance_is_made_under(
    ledger: Ledger, named: tuple[int | None, int], made_under: int
) -> None:
    ingest(ledger, use_case_name="chat")
    ledger.write(definitions.increment_version, "chat")
    calls = [call(use_case_name="chat", use_case_id="a", use_case_version=version) for version in named]
    assert ledger.ingest_bulk(calls)["ingest_count"] == 2
    assert ledger.read(get, "chat", "a")["type_version"] == made_under


def test_a_version_without_a_use_case_is_not_warned_of(ledger: Ledger) -> None:
    assert [ingest(ledger, use_case_version=version).get("warnings") for version in (0, 9)] == [None, None]


def _instances(connection: Connection, _application_id: int) -> dict[tuple[str, str], Any]:
    return {(row.use_case_name, row.use_case_id): row.properties for row in connection.execute(select(instances))}


def test_a_use_case_id_without_a_name_is_ignored_with_a_warning(ledger: Ledger) -> None:
    result = ingest(ledger, use_case_id="42")
    assert "use_case_id" not in result
    assert "without a use_case_name" in result["warnings"][0]


def test_every_field_is_readable_back(ledger: Ledger) -> None:
    item = call(
        event_timestamp="2026-11-20T11:59:00Z",
        provider_response_id="resp/1",
        http_status_code=200,
        end_to_end_latency_ms=1200,
        time_to_first_token_ms=300.6,
        time_to_first_completion_token_ms=310,
        user_id="zoë",
        account_name="acme",
        scope="datazone.us",
        request_tags=["a"],
        use_case_name="chat",
        use_case_id="1",
        use_case_step="draft",
        use_case_version=3,
        properties={"route": "/chat", "gone": None},
        use_case_properties={"tier": "gold"},
        provider_uri="https://api.openai.com/v1/chat/completions",
        provider_response_json=["{}"],
    )
    ledger.ingest(item, received=RECEIVED)
    (record,) = ledger.requests()
    assert record.event_timestamp == datetime(2026, 11, 20, 11, 59, tzinfo=UTC)
    assert record.ingest_timestamp == RECEIVED
    assert (record.category, record.resource, record.provider_response_id) == ("system.openai", "gpt-4o-mini", "resp/1")
    assert (record.http_status_code, record.failed, record.end_to_end_latency_ms) == (200, False, 1200)
    assert (record.time_to_first_token_ms, record.time_to_first_completion_token_ms) == (301, 310)
    assert (record.user_id, record.account_name, record.scope) == ("zoë", "acme", "datazone.us")
    assert (record.use_case_name, record.use_case_id, record.use_case_step) == ("chat", "1", "draft")
    assert (record.use_case_version, record.request_tags) == (3, ["a"])
    assert (record.properties, record.use_case_properties) == ({"route": "/chat"}, {"tier": "gold"})
    assert record.units == {"text": {"input": 1_000, "output": 500}}
    assert (record.input_tokens, record.output_tokens) == (1_000, 500)
    assert (record.input_cost, record.output_cost, record.cost) == tuple(map(Decimal, ("0.00015", "0.0003", "0.00045")))
    assert set(record.exchange) == {"provider_uri", "provider_response_json"}


def test_requests_are_read_newest_first_or_in_order_by_user_and_up_to_a_number(ledger: Ledger) -> None:
    for number, name in enumerate(("alice", "bob", "alice")):
        ingest(ledger, user_id=name, provider_response_id=f"{name}{number}")
    assert [record.provider_response_id for record in ledger.requests()] == ["alice2", "bob1", "alice0"]
    assert [record.provider_response_id for record in ledger.requests(limit=1)] == ["alice2"]
    oldest_first = ledger.requests(user_id="alice", newest_first=False)
    assert [record.provider_response_id for record in oldest_first] == ["alice0", "alice2"]


def test_requests_are_in_the_order_they_were_booked_in_within_a_millisecond_too(ledger: Ledger) -> None:
    names = [f"resp_{number}" for number in range(40)]
    for name in names:
        ingest(ledger, provider_response_id=name)

    assert [record.provider_response_id for record in ledger.requests(newest_first=False)] == names


def test_results_stay_readable_by_request_id_and_by_the_providers_id(ledger: Ledger) -> None:
    ledger.create_limit(limit_name="monthly", max=1, limit_id="monthly")
    result = ingest(ledger, provider_response_id="resp_1", limit_ids=["monthly"], user_id="alice")
    assert ledger.result(result["request_id"]) == {"xproxy_result": result}
    assert ledger.result_by_provider_response_id("system.openai", "resp_1") == {"xproxy_result": result}
    assert ledger.result("req_unknown") is None
    assert ledger.result_by_provider_response_id("system.openai", "resp_2") is None


def test_usage_adds_up_by_user_the_dearest_first_and_nobodys_calls_apart(ledger: Ledger) -> None:
    ingest(ledger, user_id="alice", units={"text": {"input": 10, "output": 1}, "web_search_request": {"output": 5}})
    ingest(ledger, user_id="bob")
    ingest(ledger, user_id="bob", units={"text_cache_read": {"input": 100}, "reasoning": {"output": 7}})
    ingest(ledger, units={}, http_status_code=500)
    alice, bob, nobody = ledger.usage_by_user()
    assert (alice.user_id, alice.calls, alice.input_tokens, alice.output_tokens) == ("alice", 1, 10, 1)
    assert alice.cost == Decimal("0.0500021")
    assert (bob.user_id, bob.calls, bob.failed, bob.input_tokens, bob.output_tokens) == ("bob", 2, 0, 1_100, 507)
    assert (nobody.user_id, nobody.calls, nobody.failed, nobody.cost) == (None, 1, 1, Decimal(0))


def test_a_ledger_without_requests_has_no_usage(ledger: Ledger) -> None:
    assert ledger.usage_by_user() == []


def test_a_bulk_judges_each_item_alone_and_counts_repeats_as_neither_new_nor_wrong(ledger: Ledger) -> None:
    good, wrong = call(provider_response_id="resp_1"), call(limit_ids=["unknown"])
    answer = ledger.ingest_bulk([good, wrong, good, "nonsense"], with_results=True)
    assert (answer["ingest_count"], answer["error_count"], answer["total_count"]) == (1, 2, 4)
    assert [error["item_index"] for error in answer["errors"]] == [1, 3]
    assert answer["errors"][0]["xproxy_result"]["statusCode"] == 400
    assert answer["errors"][0]["xproxy_result"]["xproxy_error"]["code"] == "invalid_limit_ids"
    assert [result["item_index"] for result in answer["results"]] == [0, 2]
    assert answer["results"][1]["xproxy_result"]["duplicate_request"] is True
    assert len(ledger.requests()) == 1


def test_a_bulk_says_nothing_of_single_results_unless_asked(ledger: Ledger) -> None:
    assert "results" not in ledger.ingest_bulk([call()])


def test_an_empty_bulk_is_fine(ledger: Ledger) -> None:
    assert ledger.ingest_bulk([])["ingest_count"] == 0


ODD = (
    "tab\t",
    "line\nbreak\r",
    "back\\slash \\N \\.",
    "'quoted' \"twice\"",
    "Zürich 日本 🎈",
    "%(percent)s %s ?",
    "\x7f\x01",
)


def test_many_at_once_are_stored_as_they_are_one_by_one(ledger: Ledger) -> None:
    items = [
        call(
            user_id=odd,
            event_timestamp=RECEIVED,
            request_tags=["a"],
            properties={odd: odd, "half": "\ud83c", "zero": "\0"},
        )
        for odd in ODD
    ]
    assert ledger.ingest_bulk(items)["ingest_count"] == len(ODD)
    for item in items:
        ledger.ingest(item)
    for odd in ODD:
        one, other = ledger.requests(user_id=odd)
        assert one.user_id == odd
        assert replace(one, request_id="", ingest_timestamp=RECEIVED) == replace(
            other, request_id="", ingest_timestamp=RECEIVED
        )
