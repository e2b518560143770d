"""Results and properties of requests, endpoints 37 to 40 of the contract, over a real socket."""

from __future__ import annotations

from typing import Any

import payi
import pytest

from tests.service_api.asking import CALL, refused, spend
from tests.service_api.serving import Http, Served

AWKWARD = "a/b c+d:é%2F"


def test_the_sdk_reads_a_result_by_either_id(sdk: Any) -> None:
    sdk.limits.create(limit_name="a", max=1, limit_id="a")
    answer = sdk.ingest.units(
        **CALL, provider_response_id=AWKWARD, limit_ids=["a"], use_case_name="u", use_case_id="1", user_id="alice"
    )
    result = answer.xproxy_result
    assert result.request_id == answer.request_id
    assert sdk.requests.request_id.result.retrieve(answer.request_id).xproxy_result == result
    by_response = sdk.requests.response_id.result.retrieve(AWKWARD, category="system.openai")
    assert by_response.xproxy_result == result


def test_the_sdk_annotates_a_request_by_either_id(sdk: Any, service: Served, key: str) -> None:
    answer = sdk.ingest.units(**CALL, provider_response_id=AWKWARD, properties={"a": "1", "b": "2"})
    by_request, by_response = sdk.requests.request_id.properties, sdk.requests.response_id.properties
    told = by_request.update(answer.request_id, properties={"a": None, "c": "3"})
    assert told.request_id == answer.request_id
    told = by_response.update(AWKWARD, category="system.openai", properties={"b": "4"})
    assert told.request_id == answer.request_id
    (record,) = service.ledger_of(key).requests()
    assert record.properties == {"b": "4", "c": "3"}


def test_the_sdk_finds_no_request_that_is_not_there(sdk: Any) -> None:
    with pytest.raises(payi.NotFoundError):
        sdk.requests.request_id.result.retrieve("req_nothing")
    with pytest.raises(payi.NotFoundError):
        sdk.requests.response_id.properties.update("nothing", category="c", properties={})


def test_a_provider_response_is_known_by_its_category_too(http: Http) -> None:
    first = spend(http, provider_response_id="r")
    second = http.post("/ingest", json={**CALL, "category": "mine", "provider_response_id": "r"}).json()
    assert second["request_id"] != first["request_id"]
    found = http.get("/requests/provider/mine/r/result").json()["xproxy_result"]
    assert found["request_id"] == second["request_id"]


def test_properties_change_nothing_of_the_result(http: Http) -> None:
    result = spend(http)
    path = f"/requests/{result['request_id']}"
    http.put(f"{path}/properties", json={"properties": {"a": "1"}})
    assert http.get(f"{path}/result").json() == {"xproxy_result": result}


@pytest.mark.parametrize(
    "body", [None, {}, {"properties": 7}, {"properties": {"a": 7}}, {"properties": {"a": "x" * 5_000}}, []]
)
def test_properties_that_are_none_are_refused_and_change_nothing(
    http: Http, service: Served, key: str, body: Any
) -> None:
    result = spend(http, properties={"a": "1"}, provider_response_id="r")
    for path in (f"/requests/{result['request_id']}", "/requests/provider/system.openai/r"):
        assert http.send_json("PUT", f"{path}/properties", body).status_code == 400
    (record,) = service.ledger_of(key).requests()
    assert record.properties == {"a": "1"}


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/requests/x/result"),
        ("GET", "/requests/provider/c/x/result"),
        ("PUT", "/requests/x/properties"),
        ("PUT", "/requests/provider/c/x/properties"),
    ],
)
def test_a_request_that_is_not_there_is_not_found(http: Http, method: str, path: str) -> None:
    body: Any = {"properties": {}} if method == "PUT" else None
    assert refused(http.request(method, path, json=body)) == (404, "request_processing_error")
