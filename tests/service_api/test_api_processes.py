"""Several service processes on one database, all asked at once, and one that is killed."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Coroutine, Iterator, Sequence
from decimal import Decimal
from typing import Any

import httpx
import pytest

from payi_middleware.service.ledger import Ledger
from tests.service_api.asking import CALL, COST
from tests.service_command.processes import Served, serving

LIMIT = {"limit_name": "one", "limit_id": "one", "max": 1}


@pytest.fixture(scope="module")
def two(database: str) -> Iterator[tuple[Served, Served]]:
    with serving(database) as first, serving(database) as second:
        yield first, second


@pytest.fixture
def key(database: str, request: pytest.FixtureRequest) -> str:
    with Ledger(database) as ledger:
        return ledger.create_key(request.node.name)


def at_once(services: Sequence[Served], key: str, asked: Sequence[dict[str, Any]]) -> list[httpx.Response]:
    """Send requests to services in turn, all at once, and return their answers."""

    async def run() -> list[httpx.Response]:
        limits = httpx.Limits(max_connections=50)
        clients = [
            httpx.AsyncClient(
                base_url=f"{service.url}/api/v1",
                headers={"xProxy-api-key": key},
                limits=limits,
                timeout=120,
                trust_env=False,
            )
            for service in services
        ]
        calls: list[Coroutine[Any, Any, httpx.Response]] = [
            clients[number % len(clients)].request(**told) for number, told in enumerate(asked)
        ]
        try:
            return await asyncio.gather(*calls)
        finally:
            for client in clients:
                await client.aclose()

    return asyncio.run(run())


def posted(path: str, body: Any = None, **headers: str) -> dict[str, Any]:
    return {"method": "POST", "url": path, "json": body, "headers": headers}


def charged(**fields: Any) -> dict[str, Any]:
    return posted("/ingest", {**CALL, **fields}, **{"xProxy-Limit-IDs": "one"})


def statuses(answers: Sequence[httpx.Response]) -> Counter[int]:
    return Counter(answer.status_code for answer in answers)


def test_200_ingests_at_once_into_one_limit_sum_exactly(two: tuple[Served, Served], key: str) -> None:
    with two[0].client(key) as client:
        client.post("/api/v1/limits", json=LIMIT)
        answers = at_once(two, key, [charged() for _ in range(200)])
        assert statuses(answers) == {200: 200}
        totals = client.get("/api/v1/limits/one").json()["limit"]["totals"]
    assert totals["requests"]["total"] == totals["requests"]["ok"] == 200
    assert totals["cost"]["total"]["base"] == float(200 * COST)
    assert totals["cost"]["input"]["base"] == float(200 * Decimal("0.00015"))
    assert len({answer.json()["request_id"] for answer in answers}) == 200


def test_a_response_that_is_sent_a_hundred_times_at_once_is_charged_once(two: tuple[Served, Served], key: str) -> None:
    with two[0].client(key) as client:
        client.post("/api/v1/limits", json=LIMIT)
        answers = at_once(two, key, [charged(provider_response_id="r") for _ in range(100)])
        assert statuses(answers) == {200: 100}
        results = [answer.json()["xproxy_result"] for answer in answers]
        totals = client.get("/api/v1/limits/one").json()["limit"]["totals"]
    assert len({result["request_id"] for result in results}) == 1
    assert sum("duplicate_request" not in result for result in results) == 1
    assert {result["cost"]["total"]["base"] for result in results} == {float(COST)}
    assert (totals["requests"]["total"], totals["cost"]["total"]["base"]) == (1, float(COST))


def test_resets_while_calls_come_in_lose_and_double_nothing(two: tuple[Served, Served], key: str) -> None:
    with two[0].client(key) as client:
        client.post("/api/v1/limits", json=LIMIT)
        asked = [posted("/limits/one/reset") if number % 20 == 0 else charged() for number in range(200)]
        answers = at_once(two, key, asked)
        assert statuses(answers) == {200: 200}
        periods = [answer.json()["limit_history"] for answer in answers if "limit_history" in answer.json()]
        periods.append(client.get("/api/v1/limits/one").json()["limit"])
    assert len(periods) == 11
    assert sum(period["totals"]["requests"]["total"] for period in periods) == 190
    spent = sum(Decimal(str(period["totals"]["cost"]["total"]["base"])) for period in periods)
    assert spent == 190 * COST


def test_what_is_made_by_many_at_once_is_made_once(two: tuple[Served, Served], key: str) -> None:
    definition = {"name": "chat", "description": "d", "limit_config": {"max": 1}}
    answers = at_once(two, key, [posted("/use_cases/definitions", definition) for _ in range(20)])
    assert statuses(answers) == {200: 1, 400: 19}
    answers = at_once(two, key, [posted("/limits", LIMIT) for _ in range(20)])
    assert statuses(answers) == {200: 20}
    context = {"xProxy-UseCase-Name": "chat", "xProxy-UseCase-ID": "a"}
    answers = at_once(two, key, [posted("/ingest", CALL, **context) for _ in range(40)])
    assert statuses(answers) == {200: 40}
    (limit_id,) = {limit_id for answer in answers for limit_id in answer.json()["xproxy_result"]["limits"]}
    with two[1].client(key) as client:
        totals = client.get(f"/api/v1/limits/{limit_id}").json()["limit"]["totals"]
        assert totals["requests"]["total"] == 40
        assert len(client.get("/api/v1/limits").json()["items"]) == 2


def test_properties_that_are_set_at_once_are_all_kept(two: tuple[Served, Served], key: str, database: str) -> None:
    with two[0].client(key) as client:
        request_id = client.post("/api/v1/ingest", json=CALL).json()["request_id"]
    path = f"/requests/{request_id}/properties"
    asked = [{"method": "PUT", "url": path, "json": {"properties": {f"k{n}": "v"}}} for n in range(40)]
    assert statuses(at_once(two, key, asked)) == {200: 40}
    (record,) = booked(database, key)
    assert record.properties == {f"k{n}": "v" for n in range(40)}


def booked(database: str, key: str) -> list[Any]:
    with Ledger(database) as ledger:
        application_id = ledger.key_holder(key)
        assert application_id is not None
        return ledger.of(application_id).requests(limit=100_000)


def test_a_service_that_is_killed_while_it_writes_has_booked_what_it_answered_and_all_of_it(
    database: str, key: str
) -> None:
    told: list[str] = []
    with serving(database) as service:
        with service.client(key) as client:
            client.post("/api/v1/limits", json=LIMIT)

        async def write(client: httpx.AsyncClient, number: int) -> None:
            for turn in range(10_000):
                item = {**CALL, "provider_response_id": f"{number}-{turn}", "limit_ids": ["one"]}
                try:
                    answer = await client.post("/ingest/bulk", json=[item], headers={"Prefer": "return=representation"})
                except httpx.TransportError:
                    return
                told.extend(result["xproxy_result"]["request_id"] for result in answer.json()["results"])
                if len(told) > 100:
                    service.process.kill()

        async def run() -> None:
            headers = {"xProxy-api-key": key}
            url = f"{service.url}/api/v1"
            async with httpx.AsyncClient(base_url=url, headers=headers, timeout=120, trust_env=False) as client:
                await asyncio.gather(*(write(client, number) for number in range(8)))

        asyncio.run(run())
    with serving(database) as service, service.client(key) as client:
        totals = client.get("/api/v1/limits/one").json()["limit"]["totals"]
        records = booked(database, key)
        assert {record.request_id for record in records} >= set(told)
        assert totals["requests"]["total"] == len(records)
        assert Decimal(str(totals["cost"]["total"]["base"])) == len(records) * COST
        again = client.post("/api/v1/ingest", json={**CALL, "provider_response_id": "0-0"}).json()
        assert again["xproxy_result"]["duplicate_request"]
