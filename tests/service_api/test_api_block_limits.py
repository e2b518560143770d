"""Block limits on ingest, which they cannot stop: recorded with a warning, or rejected as the hosted API does."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import payi
import pytest

from payi_middleware.service.config import ServiceConfig
from tests.service_api.asking import CALL, COST, refused, spend
from tests.service_api.serving import Http, Served, official_sdk, served

BLOCK = {"limit_name": "b", "limit_id": "b", "max": float(COST), "limit_type": "block"}


@pytest.fixture(scope="module")
def rejecting(database: str) -> Iterator[Served]:
    with served(database, ServiceConfig(block_ingest="reject")) as running:
        yield running


@pytest.fixture
def strict(rejecting: Served) -> Iterator[Http]:
    with Http(rejecting, rejecting.key()) as client:
        yield client


def test_money_that_is_spent_is_recorded_and_the_limit_charged_and_a_warning_given(http: Http) -> None:
    http.post("/limits", json=BLOCK)
    first, second = spend(http, "b"), spend(http, "b")
    assert [result["limits"]["b"]["state"] for result in (first, second)] == ["exceeded", "overrun"]
    assert all("limit b is of type block" in result["warnings"][0] for result in (first, second))
    assert first["blocked_limit_ids"] == []
    totals = http.get("/limits/b").json()["limit"]["totals"]
    assert totals["cost"]["total"] == {"base": float(COST * 2), "overrun_base": float(COST)}


def test_a_service_that_rejects_them_says_so_and_changes_nothing(strict: Http) -> None:
    strict.post("/limits", json=BLOCK)
    before = strict.get("/limits/b").json()["limit"]
    response = strict.post("/ingest", json=CALL, headers={"xProxy-Limit-IDs": "b"})
    assert refused(response) == (400, "blocking_limit_not_allowed")
    assert strict.get("/limits/b").json()["limit"] == before


def test_a_bulk_that_names_one_has_that_item_rejected_alone(strict: Http) -> None:
    strict.post("/limits", json=BLOCK)
    strict.post("/limits", json={"limit_name": "a", "limit_id": "a", "max": 1})
    items = [{**CALL, "limit_ids": ["a"]}, {**CALL, "limit_ids": ["a", "b"]}]
    body = strict.post("/ingest/bulk", json=items).json()
    assert (body["ingest_count"], body["error_count"]) == (1, 1)
    (error,) = body["errors"]
    assert error["item_index"] == 1
    assert error["xproxy_result"]["xproxy_error"]["code"] == "blocking_limit_not_allowed"
    assert strict.get("/limits/a").json()["limit"]["totals"]["requests"]["total"] == 1


def test_the_automatic_limit_of_an_instance_is_recorded_whatever_is_done_about_others(strict: Http) -> None:
    config = {"max": float(COST) / 2, "limit_type": "block"}
    strict.post("/use_cases/definitions", json={"name": "u", "description": "d", "limit_config": config})
    result = strict.post("/ingest", json=CALL, headers={"xProxy-UseCase-Name": "u"}).json()["xproxy_result"]
    assert [state["state"] for state in result["limits"].values()] == ["overrun"]


@pytest.mark.parametrize("kind", ["sync", "async"])
def test_the_sdk_raises_a_bad_request(rejecting: Served, kind: str) -> None:
    with official_sdk(rejecting, rejecting.key(), kind) as sdk:
        sdk.limits.create(limit_name="b", max=1, limit_id="b", limit_type="block")
        with pytest.raises(payi.BadRequestError) as refusal:
            sdk.ingest.units(**CALL, limit_ids=["b"])
        body: Any = refusal.value.body
        assert body["xproxy_error"]["code"] == "blocking_limit_not_allowed"
