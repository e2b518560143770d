"""Ingest, endpoints 8 and 9 of the contract, over a real socket."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest

from payi_middleware.ingest import IngestClient
from payi_middleware.service.api.keyring import API_KEY
from tests.service_api.asking import CALL, COST, refused, spend
from tests.service_api.serving import Http, Served


def in_minutes(minutes: float) -> str:
    return (datetime.now(UTC) + timedelta(minutes=minutes)).isoformat()


def test_the_sdk_reports_a_call_with_all_that_it_can_say(sdk: Any, service: Served, key: str) -> None:
    sdk.limits.create(limit_name="one", max=1, limit_id="one")
    answer = sdk.ingest.units(
        **CALL,
        limit_ids=[" one ", ""],
        use_case_name="chat",
        use_case_id="7",
        use_case_step="draft",
        use_case_version=1,
        use_case_properties={"tier": "gold"},
        user_id="alice",
        account_name="acme",
        resource_scope="datazone.us",
        properties={"route": "/chat", "gone": None},
        event_timestamp=datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC),
        end_to_end_latency_ms=1200,
        time_to_first_token_ms=300,
        time_to_first_completion_token_ms=400,
        http_status_code=200,
        provider_uri="https://api.openai.com/v1/chat/completions",
        provider_request_json="{}",
        provider_request_headers=[{"name": "a", "value": "b"}],
        provider_response_json=["{}", "{}"],
        provider_response_headers=[{"name": "c"}],
        provider_response_function_calls=[{"name": "f", "arguments": "{}"}],
        provider_response_id="resp 1",
        extra_headers={"xProxy-Request-Tags": "a,b-c"},
    )
    result = answer.xproxy_result
    assert answer.event_timestamp == datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
    assert answer.ingest_timestamp <= datetime.now(UTC)
    assert answer.request_id == result.request_id
    assert (result.cost.currency, result.cost.total.base) == ("usd", float(COST))
    assert (result.cost.input.base, result.cost.output.base) == (0.00015, 0.0003)
    assert {name: state.state for name, state in result.limits.items()} == {"one": "ok"}
    assert (result.use_case_name, result.use_case_id, result.use_case_step) == ("chat", "7", "draft")
    assert (result.user_id, result.account_name, result.request_tags) == ("alice", "acme", ["a", "b-c"])
    assert (result.blocked_limit_ids, result.resource_id is None, result.duplicate_request) == ([], False, None)
    (record,) = service.ledger_of(key).requests()
    assert (record.use_case_version, record.scope, record.properties) == (1, "datazone.us", {"route": "/chat"})
    assert record.use_case_properties == {"tier": "gold"}
    assert (record.end_to_end_latency_ms, record.time_to_first_token_ms) == (1200, 300)
    assert (record.time_to_first_completion_token_ms, record.http_status_code) == (400, 200)
    assert record.exchange["provider_response_json"] == ["{}", "{}"]


SAID: dict[str, Any] = {
    "provider_request_json": "said",
    "provider_response_json": ["said"],
    "provider_request_headers": [{"name": "a", "value": "secret"}],
    "provider_response_function_calls": [{"name": "f", "arguments": "said"}],
    "provider_uri": "https://api.openai.com/v1/chat/completions",
}
UNSAID = {
    "provider_response_function_calls": [{"name": "f"}],
    "provider_uri": "https://api.openai.com/v1/chat/completions",
}


@pytest.mark.parametrize(("disabled", "kept"), [(True, UNSAID), (False, SAID)])
def test_the_sdk_has_what_was_said_kept_or_not(
    sdk: Any, service: Served, key: str, disabled: bool, kept: dict[str, Any]
) -> None:
    answer = sdk.ingest.units(**CALL, **SAID, disable_logging=disabled)
    assert answer.xproxy_result.cost.total.base == float(COST)
    (record,) = service.ledger_of(key).requests()
    assert record.exchange == kept


def test_the_sdk_reports_a_failure_of_its_own(sdk: Any) -> None:
    sdk.limits.create(limit_name="one", max=1, limit_id="one")
    properties = {"system.failure": "ConnectionError", "system.failure.description": "refused"}
    answer = sdk.ingest.units(
        category="system.openai", units={}, http_status_code=299, properties=properties, limit_ids=["one"]
    )
    assert answer.xproxy_result.limits["one"].state == "failed"
    assert answer.xproxy_result.cost.total.base == 0


def test_the_sdk_sends_a_repeat_and_learns_that_it_is_one(sdk: Any) -> None:
    sdk.limits.create(limit_name="one", max=1, limit_id="one")
    query = {"id": "resp_1"}
    first = sdk.ingest.units(**CALL, provider_response_id="resp_1", limit_ids=["one"], extra_query=query)
    again = sdk.ingest.units(**CALL, provider_response_id="resp_1", limit_ids=["one"], extra_query=query)
    assert again.request_id == first.request_id
    assert again.xproxy_result.cost == first.xproxy_result.cost
    assert (first.xproxy_result.duplicate_request, again.xproxy_result.duplicate_request) == (None, True)
    assert sdk.limits.retrieve("one").limit.totals.requests.total == 1


def test_the_sdk_sends_many_and_learns_which_are_wrong(sdk: Any) -> None:
    sdk.limits.create(limit_name="one", max=1, limit_id="one")
    context = {
        "limit_ids": ["one"],
        "request_tags": ["a"],
        "scope": "global",
        "use_case_name": "chat",
        "use_case_id": "7",
        "use_case_step": "draft",
        "use_case_version": 1,
        "user_id": "alice",
        "account_name": "acme",
        "event_timestamp": datetime.now(UTC),
    }
    good = {**CALL, **context, "provider_response_id": "a"}
    answer = sdk.ingest.bulk(events=[good, {**CALL, "limit_ids": ["unknown"]}, good, {"category": "", "units": {}}])
    assert (answer.ingest_count, answer.error_count, answer.item_error_count, answer.total_count) == (1, 2, 2, 4)
    assert {error.item_index: error.xproxy_result.xproxy_error.code for error in answer.errors} == {
        1: "invalid_limit_ids",
        3: "required_field_missing",
    }
    assert {error.xproxy_result.status_code for error in answer.errors} == {400}
    assert sdk.limits.retrieve("one").limit.totals.requests.total == 1
    result = sdk.requests.response_id.result.retrieve("a", category="system.openai").xproxy_result
    assert (result.use_case_id, result.request_tags, result.account_name) == ("7", ["a"], "acme")


def test_the_sdk_sends_no_body_for_no_events(sdk: Any) -> None:
    answer = sdk.ingest.bulk()
    assert (answer.ingest_count, answer.total_count) == (0, 0)


def test_our_client_asks_for_each_items_result_and_is_told(http: Http, service: Served, key: str) -> None:
    http.post("/limits", json={"limit_name": "one", "limit_id": "one", "max": 1})
    items = [{**CALL, "limit_ids": ["one"]}, {**CALL, "limit_ids": ["unknown"]}]
    client = IngestClient(service.url, key, timeout=30, connections=1)
    try:
        result, error = client.send_many([json.dumps(item).encode() for item in items])
        assert client.tells_results
    finally:
        client.close()
    assert not isinstance(result, Exception)
    assert result is not None
    assert result.cost is not None
    assert result.cost.total is not None
    assert result.cost.total.base == COST
    assert isinstance(error, Exception)


@pytest.mark.parametrize("prefer", ["return=representation", "respond-async, Return=Representation", "handling=strict"])
def test_a_bulk_has_results_where_they_are_preferred(http: Http, prefer: str) -> None:
    body = http.post("/ingest/bulk", json=[CALL, {}], headers={"Prefer": prefer}).json()
    if "handling" in prefer:
        assert "results" not in body
    else:
        (result,) = body["results"]
        assert result["item_index"] == 0
        assert result["xproxy_result"]["cost"]["total"]["base"] == float(COST)


# --- good input ------------------------------------------------------------------------------------------------------


def test_header_names_are_taken_in_any_case(http: Http) -> None:
    headers = {"XPROXY-USER-ID": "alice", "xproxy-account-name": "acme"}
    result = http.post("/ingest", json=CALL, headers=headers).json()["xproxy_result"]
    assert (result["user_id"], result["account_name"]) == ("alice", "acme")


def test_older_names_of_headers_are_taken_unless_there_are_newer_ones(http: Http) -> None:
    old = {"xProxy-Experience-Name": "chat", "xProxy-Experience-ID": "7"}
    result = http.post("/ingest", json=CALL, headers=old).json()["xproxy_result"]
    assert (result["use_case_name"], result["use_case_id"]) == ("chat", "7")
    result = http.post("/ingest", json=CALL, headers={**old, "xProxy-UseCase-Name": "new"}).json()["xproxy_result"]
    assert result["use_case_name"] == "new"


def test_empty_headers_and_lists_are_none(http: Http) -> None:
    headers = {"xProxy-Limit-IDs": ", ,", "xProxy-Request-Tags": "", "xProxy-UseCase-Name": "", "xProxy-User-ID": ""}
    result = http.post("/ingest", json=CALL, headers=headers).json()["xproxy_result"]
    assert set(result) == {"request_id", "resource_id", "cost", "limits", "blocked_limit_ids"}


def test_other_headers_and_fields_do_no_harm(http: Http) -> None:
    headers = {"xProxy-Instrumented-Module": "openai/1.99.0", "xProxy-Nothing": "x", "xProxy-Logging-Disable": "None"}
    assert http.post("/ingest", json={**CALL, "nothing": {}}, headers=headers).status_code == 200


@pytest.mark.parametrize(
    "headers", [{}, {"content-type": "text/plain"}, {"content-type": "application/json; charset=utf-8"}]
)
def test_json_is_read_whatever_its_type_is_said_to_be(http: Http, headers: dict[str, str]) -> None:
    assert http.post("/ingest", content=json.dumps(CALL), headers=headers).status_code == 200


def test_the_id_of_the_query_is_the_responses_where_the_body_has_none(http: Http) -> None:
    first = http.post("/ingest", params={"id": "a"}, json=CALL).json()
    again = http.post("/ingest", json={**CALL, "provider_response_id": "a"}).json()
    other = http.post("/ingest", params={"id": "a"}, json={**CALL, "provider_response_id": "b"}).json()
    assert again["request_id"] == first["request_id"] != other["request_id"]


def test_a_unit_that_is_a_bare_number_is_input(http: Http) -> None:
    units = {"text": {"input": 1000}, "text_cache_read": 1000}
    cost = spend(http, units=units)["cost"]
    assert cost["input"]["base"] == pytest.approx(0.00015 + 0.000075)


def test_what_nobody_knows_a_price_of_is_accepted_at_no_cost_with_a_warning(http: Http) -> None:
    result = spend(http, category="mine", resource="system.unknown_model")
    assert result["cost"]["total"]["base"] == 0
    assert result["unknown_units"] == {"text": {"input": 1000, "output": 500}}
    assert result["warnings"]
    assert "resource_id" not in result
    result = spend(http, units={"text": {"input": 1000}, "smell": {"output": 3}})
    assert result["unknown_units"] == {"smell": {"input": 0, "output": 3}}
    assert result["cost"]["total"]["base"] == 0.00015


def test_an_event_of_the_past_and_one_a_little_ahead_keep_their_times(http: Http) -> None:
    for minutes in (-60 * 24 * 365, 4.5):
        told = in_minutes(minutes)
        answer = http.post("/ingest", json={**CALL, "event_timestamp": told}).json()
        assert datetime.fromisoformat(answer["event_timestamp"]) == datetime.fromisoformat(told)
        assert answer["event_timestamp"].endswith("Z")


def test_the_first_delivery_counts_whatever_it_says(http: Http) -> None:
    http.post("/limits", json={"limit_name": "one", "limit_id": "one", "max": 1})
    failed = spend(http, "one", provider_response_id="a", units={}, http_status_code=503)
    again = spend(http, "one", provider_response_id="a")
    assert again == {**failed, "duplicate_request": True}
    assert http.get("/limits/one").json()["limit"]["totals"]["requests"]["failed"] == 1


# --- bad input -------------------------------------------------------------------------------------------------------

BAD_EVENTS: list[tuple[dict[str, Any], str]] = [
    ({"category": None}, "required_field_missing"),
    ({"category": ""}, "required_field_missing"),
    ({"category": 7}, "request_processing_error"),
    ({"category": "x" * 5_000}, "request_processing_error"),
    ({"units": None}, "required_field_missing"),
    ({"units": []}, "request_processing_error"),
    ({"units": {"": 1}}, "request_processing_error"),
    ({"units": {"a\0": 1}}, "request_processing_error"),
    ({"units": {"text": "1"}}, "request_processing_error"),
    ({"units": {"text": {"input": -1}}}, "request_processing_error"),
    ({"units": {"text": {"input": 1.5}}}, "request_processing_error"),
    ({"units": {"text": {"input": 10**13}}}, "request_processing_error"),
    ({"units": {"text": {"input": True}}}, "request_processing_error"),
    ({"resource": 7}, "request_processing_error"),
    ({"event_timestamp": "yesterday"}, "invalid_ingest_event_timestamp"),
    ({"event_timestamp": 7}, "invalid_ingest_event_timestamp"),
    ({"event_timestamp": in_minutes(60 * 24)[:10] + "T23:59:59Z"}, "invalid_ingest_event_timestamp"),
    ({"http_status_code": 1000}, "request_processing_error"),
    ({"http_status_code": "200"}, "request_processing_error"),
    ({"end_to_end_latency_ms": -1}, "request_processing_error"),
    ({"end_to_end_latency_ms": 10**10 + 1}, "request_processing_error"),
    ({"time_to_first_token_ms": "1"}, "request_processing_error"),
    ({"provider_response_id": "a\0"}, "request_processing_error"),
    ({"properties": {"a": 1}}, "request_processing_error"),
    ({"use_case_properties": ["a"]}, "request_processing_error"),
    ({"provider_uri": {}}, "request_processing_error"),
    ({"provider_request_json": 7}, "request_processing_error"),
    ({"provider_request_reasoning_json": ["a"]}, "request_processing_error"),
    ({"provider_response_json": ["a", 7]}, "request_processing_error"),
    ({"provider_request_headers": {"a": "b"}}, "request_processing_error"),
    ({"provider_response_headers": [{"value": "b"}]}, "request_processing_error"),
    ({"provider_response_headers": [{"name": "a", "value": 7}]}, "request_processing_error"),
    ({"provider_response_function_calls": ["f"]}, "request_processing_error"),
    ({"provider_response_function_calls": [{"name": "f", "arguments": {}}]}, "request_processing_error"),
]
BAD_CONTEXT: list[tuple[dict[str, Any], dict[str, str], str]] = [
    ({"limit_ids": ["one", "unknown"]}, {"xProxy-Limit-IDs": "one,unknown"}, "invalid_limit_ids"),
    ({"limit_ids": ["one", "one"]}, {"xProxy-Limit-IDs": "one, one"}, "duplicate_limit_id"),
    ({"request_tags": ["a b"]}, {"xProxy-Request-Tags": "a b"}, "invalid_tags"),
    ({"use_case_name": "a b"}, {"xProxy-UseCase-Name": "a b"}, "invalid_use_case_name"),
    ({"use_case_name": "x" * 65}, {"xProxy-UseCase-Name": "x" * 65}, "invalid_use_case_name"),
    ({"use_case_version": "v1"}, {"xProxy-UseCase-Version": "v1"}, "request_processing_error"),
    ({"use_case_version": -1}, {"xProxy-UseCase-Version": "-1"}, "request_processing_error"),
    ({"user_id": "x" * 5_000}, {"xProxy-User-ID": "x" * 5_000}, "invalid_user_id"),
]


def books(http: Http, service: Served, key: str) -> Any:
    """Return all that a refused event could have changed."""
    lists = [http.get(path).json()["items"] for path in ("/limits", "/use_cases/definitions")]
    for definition in lists[1]:
        definition.pop("request_id")
    return lists, service.ledger_of(key).requests()


@pytest.fixture
def one(http: Http) -> Http:
    http.post("/limits", json={"limit_name": "one", "limit_id": "one", "max": 1})
    return http


@pytest.mark.parametrize(("change", "code"), BAD_EVENTS, ids=[f"{n}-{code}" for n, (_, code) in enumerate(BAD_EVENTS)])
def test_an_event_that_is_wrong_is_refused_with_its_code_and_changes_nothing(
    one: Http, service: Served, key: str, change: dict[str, Any], code: str
) -> None:
    before = books(one, service, key)
    context = {"xProxy-Limit-IDs": "one", "xProxy-UseCase-Name": "new"}
    assert refused(one.post("/ingest", json={**CALL, **change}, headers=context)) == (400, code)
    (error,) = one.post("/ingest/bulk", json=[{**CALL, "limit_ids": ["one"], **change}]).json()["errors"]
    assert error["xproxy_result"]["xproxy_error"]["code"] == code
    assert books(one, service, key) == before


@pytest.mark.parametrize(
    ("fields", "headers", "code"), BAD_CONTEXT, ids=[f"{n}-{code}" for n, (_, _, code) in enumerate(BAD_CONTEXT)]
)
def test_a_context_that_is_wrong_is_refused_with_its_code_and_changes_nothing(
    one: Http, service: Served, key: str, fields: dict[str, Any], headers: dict[str, str], code: str
) -> None:
    before = books(one, service, key)
    context = {"xProxy-UseCase-Name": "new", "xProxy-Limit-IDs": "one", **headers}
    assert refused(one.post("/ingest", json=CALL, headers=context)) == (400, code)
    item = {**CALL, "use_case_name": "new", "limit_ids": ["one"], **fields}
    (error,) = one.post("/ingest/bulk", json=[item]).json()["errors"]
    assert error["xproxy_result"]["xproxy_error"]["code"] == code
    assert error["xproxy_result"]["statusCode"] == 400
    assert books(one, service, key) == before


@pytest.mark.parametrize("body", [[], "text", 7, None])
def test_an_ingest_that_is_no_object_is_refused(http: Http, body: Any) -> None:
    assert refused(http.send_json("POST", "/ingest", body)) == (400, "request_processing_error")


@pytest.mark.parametrize("body", [{}, "text", 7])
def test_a_bulk_that_is_no_array_is_refused(http: Http, body: Any) -> None:
    assert refused(http.send_json("POST", "/ingest/bulk", body)) == (400, "request_processing_error")


@pytest.mark.parametrize("item", [None, [], "text", 7])
def test_an_item_that_is_no_object_is_refused_alone(http: Http, item: Any) -> None:
    body = http.post("/ingest/bulk", json=[CALL, item, CALL]).json()
    assert (body["ingest_count"], [error["item_index"] for error in body["errors"]]) == (2, [1])


def test_an_answer_is_plain_json(service: Served, key: str) -> None:
    url = f"{service.url}/api/v1/ingest"
    text = httpx.post(url, json=CALL, headers={API_KEY: key}, trust_env=False).text
    assert '"total":{"base":0.00045}' in text
