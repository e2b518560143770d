"""Limits, endpoints 1 to 7 of the contract, over a real socket."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import payi
import pytest
from sqlalchemy import select

from payi_middleware.service.store.clock import as_text
from payi_middleware.service.store.schema import limit_periods, limits
from tests.service_api.asking import CALL, COST, refused, spend
from tests.service_api.serving import Http, Served

ZERO = {"ok": 0, "blocked": 0, "blocked_external": 0, "exceeded": 0, "overrun": 0, "failed": 0, "total": 0}


def make(http: Http, **settings: Any) -> dict[str, Any]:
    response = http.post("/limits", json={"limit_name": "team", "max": 10, **settings})
    assert response.status_code == 200, response.text
    return dict(response.json()["limit"])


def test_the_sdk_makes_reads_changes_and_deletes_a_limit(sdk: Any) -> None:
    made = sdk.limits.create(limit_name="team", max=12.5, limit_id="a/b c", threshold=0.8, properties={"k": "v"})
    assert made.request_id
    limit = made.limit
    assert (limit.limit_id, limit.limit_name, limit.limit_type, limit.max) == ("a/b c", "team", "allow", 12.5)
    assert limit.threshold == 0.8
    assert limit.limit_creation_timestamp == limit.limit_update_timestamp
    assert limit.totals.requests.to_dict() == ZERO
    assert limit.totals.cost.total.base == 0
    assert sdk.limits.retrieve("a/b c").limit == limit
    changed = sdk.limits.update("a/b c", limit_name="crew", max=20).limit
    assert (changed.limit_name, changed.max, changed.threshold) == ("crew", 20, 0.8)
    assert changed.limit_update_timestamp > limit.limit_creation_timestamp == changed.limit_creation_timestamp
    (answer,) = sdk.limits.properties.update("a/b c", properties={"k": None, "l": "w"})
    assert answer.limit.limit_id == "a/b c"
    assert sdk.limits.delete("a/b c").request_id
    with pytest.raises(payi.NotFoundError):
        sdk.limits.retrieve("a/b c")


def test_the_sdk_lists_limits_over_pages_and_by_name(sdk: Any) -> None:
    for number in range(7):
        sdk.limits.create(limit_name=f"limit {number}", max=1)
    names = [limit.limit_name for limit in sdk.limits.list(limit=2, sort_ascending=True)]
    assert names == [f"limit {number}" for number in range(7)]
    assert [limit.limit_name for limit in sdk.limits.list(limit=3)] == names[::-1]
    assert [limit.limit_name for limit in sdk.limits.list(limit_name="limit 3")] == ["limit 3"]
    assert list(sdk.limits.list(limit_name="limit")) == []


def test_the_sdk_resets_a_limit_and_reads_the_period_that_is_over(sdk: Any) -> None:
    sdk.limits.create(limit_name="team", max=1, limit_id="team")
    sdk.ingest.units(**CALL, limit_ids=["team"])
    before = sdk.limits.retrieve("team").limit
    answer = sdk.limits.reset("team")
    history = answer.limit_history
    assert answer.request_id
    assert (history.limit_id, history.limit_name, history.limit_type, history.max) == ("team", "team", "allow", 1)
    assert history.totals == before.totals
    assert history.totals.cost.total.base == pytest.approx(float(COST), abs=0)
    assert history.limit_reset_timestamp > before.limit_creation_timestamp
    after = sdk.limits.retrieve("team").limit
    assert after.totals.requests.to_dict() == ZERO
    assert after.totals.cost.total.base == 0
    assert (after.max, after.limit_creation_timestamp) == (before.max, before.limit_creation_timestamp)


def test_the_sdk_names_the_date_of_a_reset(sdk: Any) -> None:
    sdk.limits.create(limit_name="team", max=1, limit_id="team")
    date = datetime(2026, 1, 2, 3, 4, 5, 678_000, tzinfo=timezone(timedelta(hours=2)))
    assert sdk.limits.reset("team", reset_date=date).limit_history.limit_reset_timestamp == date


def test_the_sdk_on_aiohttp_writes_names_and_dates_in_its_own_way(service: Served, key: str) -> None:
    limit_id, date = "a/b c+d:é%2F", datetime(2026, 1, 2, 3, 4, 5, tzinfo=timezone(timedelta(hours=2)))

    async def run() -> None:
        http_client = payi.DefaultAioHttpClient()
        async with payi.AsyncPayi(base_url=service.url, api_key=key, http_client=http_client) as client:
            await client.limits.create(limit_name="team", max=1, limit_id=limit_id)
            history = (await client.limits.reset(limit_id, reset_date=date)).limit_history
            assert (history.limit_id, history.limit_reset_timestamp) == (limit_id, date)
            assert [limit.limit_id async for limit in client.limits.list(sort_ascending=True)] == [limit_id]

    asyncio.run(run())


def test_what_is_left_out_has_its_default(http: Http) -> None:
    limit = make(http)
    assert limit["limit_id"]
    assert (limit["limit_type"], limit["threshold"]) == ("allow", None)
    assert "properties" not in limit


def test_nulls_are_the_same_as_nothing(http: Http) -> None:
    limit = make(http, limit_id=None, limit_type=None, threshold=None, properties=None)
    assert (limit["limit_type"], limit["threshold"]) == ("allow", None)
    same = http.put(f"/limits/{limit['limit_id']}", json={"limit_name": None, "max": None}).json()["limit"]
    assert same == limit


def test_the_same_id_with_the_same_max_and_threshold_is_the_same_limit(http: Http) -> None:
    first = make(http, limit_id="a", threshold=0.9)
    spend(http, "a")
    again = make(http, limit_id="a", threshold=0.9, limit_name="another name")
    assert again["limit_name"] == "team"
    assert again["limit_creation_timestamp"] == first["limit_creation_timestamp"]
    assert again["totals"]["requests"]["total"] == 1
    assert len(http.get("/limits").json()["items"]) == 1


@pytest.mark.parametrize("change", [{"max": 11}, {"threshold": 0.8}, {"threshold": None}])
def test_the_same_id_with_another_max_or_threshold_is_refused(http: Http, change: dict[str, Any]) -> None:
    before = make(http, limit_id="a", threshold=0.9)
    body = {"limit_name": "b", "max": 10, "limit_id": "a", "threshold": 0.9, **change}
    assert refused(http.post("/limits", json=body)) == (400, "create_limit_validation_failed")
    assert http.get("/limits").json()["items"] == [before]


BAD_CREATES: list[tuple[dict[str, Any], str]] = [
    ({"limit_name": None}, "required_field_missing"),
    ({"limit_name": ""}, "create_limit_validation_failed"),
    ({"limit_name": 7}, "create_limit_validation_failed"),
    ({"limit_name": "x" * 513}, "create_limit_validation_failed"),
    ({"limit_name": "a\0b"}, "create_limit_validation_failed"),
    ({"limit_name": "\ud800"}, "create_limit_validation_failed"),
    ({"limit_name": "taken"}, "limit_name_already_exist"),
    ({"max": None}, "required_field_missing"),
    ({"max": 0}, "invalid_max_limit"),
    ({"max": -1}, "invalid_max_limit"),
    ({"max": "10"}, "invalid_max_limit"),
    ({"max": True}, "invalid_max_limit"),
    ({"max": float("nan")}, "invalid_max_limit"),
    ({"max": float("inf")}, "invalid_max_limit"),
    ({"max": 10**400}, "invalid_max_limit"),
    ({"max": 1e13}, "invalid_max_limit"),
    ({"limit_id": "a,b"}, "create_limit_validation_failed"),
    ({"limit_id": 7}, "create_limit_validation_failed"),
    ({"limit_id": "x" * 513}, "create_limit_validation_failed"),
    ({"limit_type": "forbid"}, "create_limit_validation_failed"),
    ({"threshold": 0.7499}, "create_limit_validation_failed"),
    ({"threshold": 1}, "create_limit_validation_failed"),
    ({"threshold": "0.8"}, "create_limit_validation_failed"),
    ({"properties": []}, "create_limit_validation_failed"),
    ({"properties": {"a": 1}}, "create_limit_validation_failed"),
    ({"properties": {"": "a"}}, "create_limit_validation_failed"),
]


@pytest.mark.parametrize(("change", "code"), BAD_CREATES)
def test_a_limit_that_cannot_be_made_is_refused_with_its_code(http: Http, change: dict[str, Any], code: str) -> None:
    before = make(http, limit_name="taken")
    body = {"limit_name": "new", "max": 1, **change}
    assert refused(http.send_json("POST", "/limits", body)) == (400, code)
    assert http.get("/limits").json()["items"] == [before]


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ([], "create_limit_validation_failed"),
        ("text", "create_limit_validation_failed"),
        (7, "create_limit_validation_failed"),
        (None, "required_field_missing"),
    ],
)
def test_a_body_that_is_no_object_is_refused(http: Http, body: Any, code: str) -> None:
    assert refused(http.send_json("POST", "/limits", body)) == (400, code)


def test_what_is_no_json_is_refused(http: Http) -> None:
    assert refused(http.post("/limits", content=b"{")) == (400, "invalid_json")
    assert refused(http.post("/limits")) == (400, "required_field_missing")


@pytest.mark.parametrize("threshold", [0.75, 0.99, 0.999])
def test_a_threshold_may_be_from_three_quarters_to_below_one(http: Http, threshold: float) -> None:
    assert make(http, threshold=threshold)["threshold"] == threshold


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ({"limit_name": "taken"}, "limit_name_already_exist"),
        ({"limit_name": ""}, "update_limit_validation_failed"),
        ({"limit_name": 7}, "update_limit_validation_failed"),
        ({"max": 0}, "invalid_max_limit"),
        ({"max": "7"}, "invalid_max_limit"),
        ({"max": float(COST) / 2}, "invalid_max_limit_update"),
        ([], "update_limit_validation_failed"),
    ],
)
def test_a_change_that_cannot_be_made_is_refused_and_changes_nothing(http: Http, body: Any, code: str) -> None:
    make(http, limit_name="taken")
    make(http, limit_name="mine", limit_id="mine")
    spend(http, "mine")
    before = http.get("/limits/mine").json()["limit"]
    assert refused(http.send_json("PUT", "/limits/mine", body)) == (400, code)
    assert http.get("/limits/mine").json()["limit"] == before


def test_a_maximum_may_be_lowered_to_what_was_spent_and_a_name_kept(http: Http) -> None:
    make(http, limit_id="a")
    spend(http, "a")
    limit = http.put("/limits/a", json={"max": float(COST), "limit_name": "team"}).json()["limit"]
    assert limit["max"] == limit["totals"]["cost"]["total"]["base"]


def test_nothing_but_name_and_maximum_can_change(http: Http) -> None:
    before = make(http, limit_id="a")
    body = {"limit_type": "block", "threshold": 0.9, "limit_id": "b"}
    assert http.put("/limits/a", json=body).json()["limit"] == before
    assert http.put("/limits/a").json()["limit"] == before


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("GET", "/limits/nothing", None),
        ("PUT", "/limits/nothing", {"max": 3}),
        ("DELETE", "/limits/nothing", None),
        ("POST", "/limits/nothing/reset", None),
        ("PUT", "/limits/nothing/properties", {"properties": {}}),
    ],
)
def test_a_limit_that_is_not_there_is_not_found(http: Http, method: str, path: str, body: Any) -> None:
    assert refused(http.request(method, path, json=body)) == (404, "limit_not_found")


@pytest.mark.parametrize("limit_id", ["a/b", "a b", "a+b", "a:b", "a%2Fb", "ä", "..", "a\nb", "a?b#c", "a&b=c"])
def test_ids_of_any_characters_are_found(http: Http, limit_id: str) -> None:
    made = make(http, limit_id=limit_id)
    assert http.get_at("/limits/{}", limit_id).json()["limit"] == made


def test_a_path_with_a_character_that_no_id_has_is_refused(http: Http) -> None:
    assert refused(http.get("/limits/a%00b")) == (400, "request_processing_error")
    assert refused(http.get("/limits/%FF"))[0] == 404


# --- what is spent ---------------------------------------------------------------------------------------------------


def state_of(http: Http, limit_id: str) -> str:
    return str(spend(http, limit_id)["limits"][limit_id]["state"])


def test_the_state_is_that_after_the_request_and_each_is_counted_under_it(http: Http) -> None:
    make(http, limit_id="a", max=float(COST * 4), threshold=0.75)
    assert [state_of(http, "a") for _ in range(5)] == ["ok", "ok", "exceeded", "exceeded", "overrun"]
    totals = http.get("/limits/a").json()["limit"]["totals"]
    assert totals["requests"] == {**ZERO, "ok": 2, "exceeded": 2, "overrun": 1, "total": 5}
    assert totals["cost"]["total"] == {"base": float(COST * 5), "overrun_base": float(COST)}


def test_without_a_threshold_a_limit_is_exceeded_at_its_maximum_and_overrun_above(http: Http) -> None:
    make(http, limit_id="a", max=float(COST * 2))
    assert [state_of(http, "a") for _ in range(3)] == ["ok", "exceeded", "overrun"]


def test_spend_at_the_maximum_is_no_overrun(http: Http) -> None:
    make(http, limit_id="a", max=float(COST))
    result = spend(http, "a")
    assert "overrun_base" not in result["cost"]["total"]
    assert http.get("/limits/a").json()["limit"]["totals"]["cost"]["total"] == {
        "base": float(COST),
        "overrun_base": None,
    }


def test_the_overrun_of_a_request_is_its_part_above_the_maximum_the_largest_of_several(http: Http) -> None:
    make(http, limit_id="a", limit_name="a", max=float(COST * 3 / 4))
    make(http, limit_id="b", limit_name="b", max=float(COST / 4))
    assert spend(http, "a", "b")["cost"]["total"] == {"base": float(COST), "overrun_base": float(COST * 3 / 4)}
    assert spend(http, "a")["cost"]["total"] == {"base": float(COST), "overrun_base": float(COST)}


def test_a_failed_request_is_counted_as_failed_and_costs_what_units_it_has(http: Http) -> None:
    make(http, limit_id="a")
    for status in (500, 299):
        assert spend(http, "a", http_status_code=status, units={})["limits"]["a"]["state"] == "failed"
    totals = http.get("/limits/a").json()["limit"]["totals"]
    assert totals["requests"] == {**ZERO, "failed": 2, "total": 2}
    assert totals["cost"]["total"]["base"] == 0


def test_one_request_may_charge_many_limits(http: Http) -> None:
    for name in ("a", "b", "c"):
        make(http, limit_id=name, limit_name=name)
    spend(http, "a", "b", "c")
    for limit in http.get("/limits").json()["items"]:
        assert limit["totals"]["cost"]["total"]["base"] == float(COST)


def test_sums_have_no_error_of_floats(http: Http) -> None:
    make(http, limit_id="a", max=float(COST * 10))
    states = {state_of(http, "a") for _ in range(10)}
    assert states == {"ok", "exceeded"}
    limit = http.get("/limits/a").json()["limit"]
    assert limit["totals"]["cost"]["total"] == {"base": limit["max"], "overrun_base": None}


# --- resets ----------------------------------------------------------------------------------------------------------


def test_the_date_of_a_reset_is_shown_in_the_history(http: Http) -> None:
    make(http, limit_id="a")
    for date in ("2019-12-27T18:11:19.117Z", "2019-12-27T20:11:19.117+02:00", "2019-12-27T18:11:19.117"):
        history = http.post("/limits/a/reset", params={"resetDate": date}).json()["limit_history"]
        assert history["limit_reset_timestamp"] == "2019-12-27T18:11:19.117000Z"


@pytest.mark.parametrize(
    "date",
    [(datetime.now(UTC) + timedelta(days=365)).date().isoformat() + "T00:00:00Z", "soon", "1969-01-01T00:00:00Z"],
    ids=["future", "soon", "1969"],
)
def test_a_reset_for_the_future_or_for_no_date_is_refused_and_changes_nothing(http: Http, date: str) -> None:
    make(http, limit_id="a")
    spend(http, "a")
    before = http.get("/limits/a").json()["limit"]
    assert refused(http.post("/limits/a/reset", params={"resetDate": date})) == (400, "request_processing_error")
    assert http.get("/limits/a").json()["limit"] == before


def test_periods_that_are_over_are_kept_whatever_dates_they_end_at(http: Http, service: Served, key: str) -> None:
    make(http, limit_id="a", max=7)
    dates = ["2026-01-02T00:00:00.000000Z", "2026-01-02T00:00:00.000000Z", "2025-01-02T00:00:00.000000Z"]
    for date in dates:
        spend(http, "a")
        http.post("/limits/a/reset", params={"resetDate": date})
    http.delete("/limits/a")
    query = select(limit_periods).where(limit_periods.c.limit_id == "a").order_by(limit_periods.c.period_start)
    kept = service.ledger_of(key).read(
        lambda connection, own: connection.execute(query.where(limit_periods.c.application_id == own)).mappings().all()
    )
    assert [as_text(period["reset_timestamp"]) for period in kept] == dates
    assert [(period["ok"], period["max"]) for period in kept] == [(1, "7")] * 3


def test_each_reset_ends_a_period_and_late_events_are_charged_to_the_current_one(http: Http) -> None:
    make(http, limit_id="a")
    spend(http, "a")
    spend(http, "a")
    first = http.post("/limits/a/reset").json()["limit_history"]
    spend(http, "a", event_timestamp="2024-01-01T00:00:00Z")
    second = http.post("/limits/a/reset").json()["limit_history"]
    assert [history["totals"]["requests"]["total"] for history in (first, second)] == [2, 1]
    assert http.post("/limits/a/reset").json()["limit_history"]["totals"]["requests"] == ZERO


def test_a_block_limit_that_was_reset_lets_calls_go_on(http: Http) -> None:
    make(http, limit_id="a", max=float(COST), limit_type="block")
    assert [state_of(http, "a") for _ in range(2)] == ["exceeded", "overrun"]
    http.post("/limits/a/reset")
    assert state_of(http, "a") == "exceeded"


# --- deletes, properties, pages --------------------------------------------------------------------------------------


def test_a_deleted_limit_stays_in_the_results_of_its_requests_and_is_unknown_to_new_ones(http: Http) -> None:
    make(http, limit_id="a")
    result = spend(http, "a")
    assert set(http.delete("/limits/a").json()) == {"request_id"}
    assert http.get(f"/requests/{result['request_id']}/result").json() == {"xproxy_result": result}
    body = {**CALL, "limit_ids": ["a"]}
    assert refused(http.post("/ingest", json=body)) == (400, "invalid_limit_ids")
    assert refused(http.delete("/limits/a")) == (404, "limit_not_found")


def test_the_name_and_the_id_of_a_deleted_limit_are_free(http: Http) -> None:
    make(http, limit_id="a")
    spend(http, "a")
    http.delete("/limits/a")
    assert make(http, limit_id="a")["totals"]["requests"] == ZERO


def test_properties_are_merged_and_null_takes_one_away(http: Http, service: Served, key: str) -> None:
    before = make(http, limit_id="a", properties={"kept": "1", "gone": "2", "never": None})
    (answer,) = http.put("/limits/a/properties", json={"properties": {"gone": None, "new": "3"}}).json()
    assert answer["limit"]["limit_update_timestamp"] > before["limit_update_timestamp"]
    assert "properties" not in answer["limit"]
    assert service.properties(key, limits, limit_id="a") == {"kept": "1", "new": "3"}


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (None, "required_field_missing"),
        ({}, "required_field_missing"),
        ({"properties": None}, "required_field_missing"),
        ({"properties": "a"}, "request_processing_error"),
        ({"properties": {"a": 1}}, "request_processing_error"),
        ({"properties": {"a": "x" * 5_000}}, "request_processing_error"),
    ],
)
def test_properties_that_are_none_are_refused(http: Http, body: Any, code: str) -> None:
    make(http, limit_id="a")
    assert refused(http.send_json("PUT", "/limits/a/properties", body)) == (400, code)


def test_pages_stay_in_place_while_limits_are_deleted_and_made(http: Http) -> None:
    for number in range(6):
        make(http, limit_id=str(number), limit_name=str(number))
    query: dict[str, str | int] = {"limit": 2, "sort_ascending": "true"}
    first = http.get("/limits", params=query).json()
    for gone in ("0", "1", "2"):
        http.delete(f"/limits/{gone}")
    make(http, limit_id="6", limit_name="6")
    second = http.get("/limits", params={**query, "cursor": first["cursor"]}).json()
    third = http.get("/limits", params={**query, "cursor": second["cursor"]}).json()
    assert [limit["limit_id"] for page in (second, third) for limit in page["items"]] == ["3", "4", "5", "6"]
    assert third["cursor"] is None


def test_a_page_has_25_limits_unless_more_are_asked_for(http: Http) -> None:
    for number in range(27):
        make(http, limit_name=str(number))
    assert len(http.get("/limits").json()["items"]) == 25
    assert len(http.get("/limits", params={"limit": 5_000}).json()["items"]) == 27


@pytest.mark.parametrize(
    "query", [{"cursor": "garbage"}, {"limit": "0"}, {"limit": "x"}, {"sort_ascending": "up"}, {"limit_name": "\0"}]
)
def test_a_page_that_nobody_can_find_is_a_bad_request(http: Http, query: dict[str, str]) -> None:
    assert refused(http.get("/limits", params=query)) == (400, "request_processing_error")
