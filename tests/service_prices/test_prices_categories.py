"""Categories and resources, by Pay-i's own client over a real socket, on each database."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import payi
import pytest
from payi import AsyncPayi, Payi
from payi.types import CategoryResourceResponse

from payi_middleware.service.ledger import Ledger
from tests.service_prices.conftest import Two
from tests.service_proxy.serving import KEY

PRICES: Any = {"text": {"input_price": 0.000003, "output_price": 0.000015}}
CHEAPER: Any = {"text": {"input_price": 0.000001, "output_price": 0.000002}}


def create(client: Payi, resource: str = "llama", category: str = "acme", **settings: Any) -> CategoryResourceResponse:
    return client.categories.resources.create(resource, category=category, **{"units": PRICES, **settings})


def names(client: Payi, category: str, **query: Any) -> list[str]:
    return [item.resource for item in client.categories.list_resources(category, **query)]


def refused(status: int, code: str, call: Any) -> str:
    with pytest.raises(payi.APIStatusError) as caught:
        call()
    assert caught.value.status_code == status
    body: Any = caught.value.body
    assert body["statusCode"] == status
    assert body["xproxy_error"]["code"] == code
    return str(body["message"])


def test_a_resource_is_made_with_its_prices_and_read_back_as_it_is(client: Payi) -> None:
    start = datetime(2026, 1, 2, 3, 4, 5, 678901, tzinfo=UTC)
    made = create(client, start_timestamp=start, max_input_units=1000, max_output_units=200, max_total_units=1100)
    assert (made.category, made.resource, made.active, made.proxy_allowed) == ("acme", "llama", True, True)
    assert (made.start_timestamp, made.end_timestamp) == (start, None)
    assert (made.max_input_units, made.max_output_units, made.max_total_units) == (1000, 200, 1100)
    assert {unit: prices.model_dump() for unit, prices in made.units.items()} == PRICES
    assert client.categories.resources.retrieve(made.resource_id, category="acme", resource="llama") == made
    assert list(client.categories.resources.list("llama", category="acme")) == [made]
    assert list(client.categories.list_resources("acme")) == [made]


def test_a_repeat_adds_a_version_with_an_id_of_its_own_and_ends_the_one_before(client: Payi) -> None:
    first = create(client)
    second = create(client, units=CHEAPER)
    newest, oldest = client.categories.resources.list("llama", category="acme")
    assert newest == second
    assert oldest.resource_id == first.resource_id != second.resource_id
    assert (oldest.active, newest.active) == (False, True)
    assert oldest.end_timestamp == newest.start_timestamp
    assert [item.resource_id for item in client.categories.list_resources("acme")] == [second.resource_id]


def test_a_version_that_begins_later_is_not_active_yet(client: Payi) -> None:
    now = create(client)
    later = create(client, units=CHEAPER, start_timestamp=datetime.now(UTC) + timedelta(days=1))
    assert not later.active
    versions = client.categories.resources.list("llama", category="acme", active=True)
    assert [version.resource_id for version in versions] == [now.resource_id]
    versions = client.categories.resources.list("llama", category="acme", active=False)
    assert [version.resource_id for version in versions] == [later.resource_id]
    create(client, "announced", start_timestamp=datetime.now(UTC) + timedelta(days=1))
    assert names(client, "acme", active=True) == ["llama"]
    assert names(client, "acme", active=False) == ["announced"]
    assert names(client, "acme") == ["announced", "llama"]


def test_categories_are_those_of_the_catalogue_and_of_ones_own_resources(client: Payi) -> None:
    create(client)
    create(client, "announced", "zebra", start_timestamp=datetime.now(UTC) + timedelta(days=1))
    found = [item.category for item in client.categories.list(limit=10)]
    assert found == sorted(found)
    system = {"system.openai", "system.anthropic", "system.azure", "system.azureopenai", "system.aws.bedrock"}
    assert {*system, "system.google.vertex", "system.databricks.aws", "groq", "xai", "acme", "zebra"} <= set(found)
    active = [item.category for item in client.categories.list(active=True, sort_ascending=False)]
    assert active == sorted(active, reverse=True)
    assert "acme" in active
    assert [item.category for item in client.categories.list(active=False)] == ["zebra"]


@pytest.mark.parametrize("limit", [1, 7, 1000])
def test_pages_of_any_size_walk_through_all_resources_of_a_category_once(client: Payi, limit: int) -> None:
    for number in range(9):
        create(client, f"r{number}")
    expected = [f"r{number}" for number in range(9)]
    assert names(client, "acme", limit=limit) == expected
    assert names(client, "acme", limit=limit, sort_ascending=False) == expected[::-1]
    for _ in range(5):
        create(client, "r0")
    versions = [item.resource_id for item in client.categories.resources.list("r0", category="acme", limit=limit)]
    assert len(versions) == len(set(versions)) == 6
    ascending = client.categories.resources.list("r0", category="acme", limit=limit, sort_ascending=True)
    assert [item.resource_id for item in ascending] == versions[::-1]


def test_a_page_is_25_long_and_a_cursor_of_another_list_or_of_none_is_refused(client: Payi) -> None:
    page = client.categories.list_resources("openrouter")
    assert len(page.items) == 25
    cursor: Any = page.cursor
    refused(400, "request_processing_error", lambda: client.categories.list(cursor=cursor))
    refused(400, "request_processing_error", lambda: client.categories.list(cursor="garbage"))
    refused(400, "request_processing_error", lambda: client.categories.list_resources("openrouter", limit=0))


def test_every_resource_that_is_listed_can_be_looked_up_by_its_name(client: Payi) -> None:
    for category in ("system.aws.bedrock", "system.google.vertex", "fireworks", "system.azureopenai"):
        listed = list(client.categories.list_resources(category, limit=1000))
        assert len(listed) > 20
        for item in listed[::9]:
            assert item.active
            versions = list(client.categories.resources.list(item.resource, category=category))
            assert item in versions


def test_a_resource_of_the_catalogue_has_versions_by_date_with_stable_ids(client: Payi) -> None:
    dear, cheap = client.categories.resources.list("o3", category="system.openai", sort_ascending=True, limit=2).items
    assert dear.end_timestamp == cheap.start_timestamp == datetime(2025, 6, 10, tzinfo=UTC)
    assert (dear.active, dear.units["text"].input_price) == (False, 0.00001)
    assert cheap.units["text"].input_price == 0.000002
    assert client.categories.resources.retrieve(dear.resource_id, category="system.openai", resource="o3") == dear
    assert dear.resource_id == _id_in_another_process()


def _id_in_another_process() -> str:
    program = (
        "from datetime import UTC, datetime; from payi_middleware.service.prices.catalogue import find_resource; "
        "print(find_resource('system.openai', 'o3', datetime(2025, 6, 9, tzinfo=UTC)).resource_id)"
    )
    environment = {**os.environ, "PYTHONHASHSEED": "7", "PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=True)
    return done.stdout.strip()


def test_prices_of_large_contexts_and_service_tiers_are_units_more(client: Payi) -> None:
    (model,) = client.categories.resources.list("google.gemini-2.5-pro", category="system.google.vertex", active=True)
    prices = {unit: (prices.input_price, prices.output_price) for unit, prices in model.units.items()}
    assert model.large_context_threshold == 200_000
    assert prices["text"] == (0.00000125, 0.00001)
    assert prices["text_large_context"] == (0.0000025, 0.000015)
    assert prices["text_batch"] == (0.000000625, 0.000005)
    assert prices["text_batch_large_context"] == (0.00000125, 0.0000075)
    assert prices["text_cache_read_large_context"] == (0.00000025, None)


def test_an_alias_tells_the_name_that_the_catalogue_lists_it_by(client: Payi) -> None:
    (model,) = client.categories.resources.list("claude-haiku-4-5-20251001", category="system.anthropic", active=True)
    assert (model.aliased_resource, model.max_input_units) == ("claude-haiku-4-5", 200_000)
    (model,) = client.categories.resources.list("gpt-4o-2024-08-06", category="system.openai", active=True)
    assert (model.resource, model.aliased_resource) == ("gpt-4o-2024-08-06", "gpt-4o")


def test_ones_own_resource_in_a_category_of_the_catalogue_comes_before_the_catalogues(client: Payi) -> None:
    theirs = client.categories.resources.list("gpt-4o", category="system.openai", active=True).items[0]
    mine = create(client, "gpt-4o", "system.openai")
    found = {item.resource_id: item for item in client.categories.resources.list("gpt-4o", category="system.openai")}
    assert found[mine.resource_id].active
    assert not found[theirs.resource_id].active
    assert found[theirs.resource_id].end_timestamp == mine.start_timestamp
    assert create(client, "fine-tuned", "system.openai").resource in names(client, "system.openai", limit=1000)
    (gone,) = client.categories.delete_resource("gpt-4o", category="system.openai")
    assert gone.resource_id == mine.resource_id
    again = client.categories.resources.list("gpt-4o", category="system.openai", active=True).items[0]
    assert again == theirs


def test_a_category_that_begins_with_system_cannot_be_made(client: Payi) -> None:
    message = refused(400, "request_processing_error", lambda: create(client, "m", "system.acme"))
    assert "system.acme" in message
    refused(404, "category_not_found", lambda: client.categories.list_resources("system.acme"))


def test_a_version_that_is_deleted_is_gone_and_the_one_before_holds_again(client: Payi) -> None:
    first, second = create(client), create(client, units=CHEAPER)
    gone = client.categories.resources.delete(second.resource_id, category="acme", resource="llama")
    assert (gone.resource_id, gone.active) == (second.resource_id, False)
    (left,) = client.categories.resources.list("llama", category="acme")
    assert (left.resource_id, left.active, left.end_timestamp) == (first.resource_id, True, None)
    of: Any = {"category": "acme", "resource": "llama"}
    for call in (
        lambda: client.categories.resources.delete(second.resource_id, **of),
        lambda: client.categories.resources.retrieve(second.resource_id, **of),
    ):
        refused(404, "category_resource_not_found", call)


def test_a_resource_and_a_category_are_deleted_with_all_their_versions(client: Payi) -> None:
    made = [create(client), create(client), create(client, "other")]
    gone = client.categories.delete_resource("llama", category="acme")
    assert {item.resource_id for item in gone} == {item.resource_id for item in made[:2]}
    assert names(client, "acme") == ["other"]
    assert [item.resource_id for item in client.categories.delete("acme")] == [made[2].resource_id]
    refused(404, "category_not_found", lambda: client.categories.list_resources("acme"))
    assert "acme" not in [item.category for item in client.categories.list(limit=1000)]


def test_what_there_is_not_is_404_with_its_code(client: Payi) -> None:
    create(client)
    resources = client.categories.resources
    for call in (
        lambda: client.categories.list_resources("none"),
        lambda: resources.list("llama", category="none"),
        lambda: resources.retrieve("x", category="none", resource="llama"),
        lambda: resources.delete("x", category="none", resource="llama"),
        lambda: client.categories.delete("none"),
        lambda: client.categories.delete_resource("llama", category="none"),
    ):
        refused(404, "category_not_found", call)
    for call in (
        lambda: resources.list("none", category="acme"),
        lambda: resources.retrieve("x", category="acme", resource="llama"),
        lambda: resources.delete("x", category="acme", resource="llama"),
        lambda: client.categories.delete_resource("none", category="acme"),
        lambda: resources.list("none", category="system.openai"),
    ):
        refused(404, "category_resource_not_found", call)


def test_the_catalogues_own_resources_cannot_be_deleted(client: Payi) -> None:
    version = client.categories.resources.list("gpt-4o", category="system.openai").items[0].resource_id
    for call in (
        lambda: client.categories.delete("system.openai"),
        lambda: client.categories.delete_resource("gpt-4o", category="system.openai"),
        lambda: client.categories.resources.delete(version, category="system.openai", resource="gpt-4o"),
    ):
        refused(400, "request_processing_error", call)
    assert "gpt-4o" in names(client, "system.openai", limit=1000)


BAD: dict[str, dict[str, Any]] = {
    "no units": {},
    "null": {"units": None},
    "empty": {"units": {}},
    "a list": {"units": []},
    "a number": {"units": {"text": 1}},
    "no name": {"units": {"": {"input_price": 1}}},
    "a long name": {"units": {"x" * 129: {"input_price": 1}}},
    "below zero": {"units": {"text": {"input_price": -0.1}}},
    "too dear": {"units": {"text": {"output_price": 1000000.1}}},
    "a text": {"units": {"text": {"input_price": "0.1"}}},
    "true": {"units": {"text": {"input_price": True}}},
    "max is negative": {"units": PRICES, "max_input_units": -1},
    "max is a fraction": {"units": PRICES, "max_output_units": 1.5},
    "max is a text": {"units": PRICES, "max_total_units": "5"},
    "no date": {"units": PRICES, "start_timestamp": "yesterday"},
    "a number for a date": {"units": PRICES, "start_timestamp": 1},
    "before 1970": {"units": PRICES, "start_timestamp": "1969-12-31T23:59:59Z"},
}


@pytest.mark.parametrize("what", BAD)
def test_a_wrong_resource_is_refused_and_changes_nothing(client: Payi, url: str, what: str) -> None:
    answer = httpx.post(
        f"{url}/api/v1/categories/acme/resources/llama", json=BAD[what], headers={"xProxy-api-key": KEY}
    )
    assert answer.status_code == 400, answer.text
    code = "required_field_missing" if what in ("no units", "null") else "request_processing_error"
    assert answer.json()["xproxy_error"]["code"] == code
    refused(404, "category_not_found", lambda: client.categories.list_resources("acme"))


@pytest.mark.parametrize("name", ["%20", "x" * 257, "%00"])
def test_a_name_that_is_blank_too_long_or_cannot_be_stored_is_refused(url: str, name: str) -> None:
    for path in (f"{name}/resources/m", f"acme/resources/{name}"):
        answer = httpx.post(f"{url}/api/v1/categories/{path}", json={"units": PRICES}, headers={"xProxy-api-key": KEY})
        assert answer.status_code == 400, answer.text


@pytest.mark.parametrize("name", ["a/b", "a b", "a+b", "a:b?c", "mödel", "%2F", "resources"])
def test_any_other_name_comes_back_as_it_was(client: Payi, name: str) -> None:
    made = create(client, name, f"cat {name}")
    assert (made.category, made.resource) == (f"cat {name}", name)
    found = client.categories.resources.retrieve(made.resource_id, category=f"cat {name}", resource=name)
    assert found == made


def test_prices_keep_their_digits(client: Payi) -> None:
    units: Any = {"text": {"input_price": 0.000000075, "output_price": 0}, "free": {}, "hour": {"output_price": 98.32}}
    made = create(client, units=units)
    shown = {unit: prices.model_dump(exclude_none=True) for unit, prices in made.units.items()}
    assert shown == units


def test_another_application_sees_and_deletes_nothing_of_ones_own_resources(two: Two) -> None:
    made = create(two.one)
    create(two.one, "gpt-4o", "system.openai")
    refused(404, "category_not_found", lambda: two.other.categories.list_resources("acme"))
    refused(404, "category_not_found", lambda: two.other.categories.delete("acme"))
    resources = two.other.categories.resources
    refused(404, "category_not_found", lambda: resources.retrieve(made.resource_id, category="acme", resource="llama"))
    versions = resources.list("gpt-4o", category="system.openai", active=True).items
    assert versions[0].units["text"].input_price == 0.0000025
    event: Any = {"category": "acme", "resource": "llama", "units": {"text": {"input": 1000}}}
    assert two.one.ingest.units(**event).xproxy_result.cost.total.base == 0.003  # type: ignore[union-attr]
    assert two.other.ingest.units(**event).xproxy_result.cost.total.base == 0  # type: ignore[union-attr]
    assert names(two.one, "acme") == ["llama"]


@pytest.fixture
def without_key(url: str) -> Iterator[Payi]:
    with Payi(api_key="wrong", base_url=url, max_retries=0) as opened:
        yield opened


def test_without_a_key_nobody_learns_a_price(without_key: Payi) -> None:
    refused(401, "invalid_api_key", lambda: without_key.categories.list())
    refused(401, "invalid_api_key", lambda: create(without_key))


def test_the_async_client_makes_lists_and_deletes_a_resource(ledger: Ledger, url: str) -> None:
    async def walk() -> None:
        async with AsyncPayi(api_key=KEY, base_url=url, max_retries=0) as client:
            made = await client.categories.resources.create("llama", category="acme", units=PRICES)
            assert [item async for item in client.categories.list_resources("acme")] == [made]
            assert [item async for item in client.categories.resources.list("llama", category="acme")] == [made]
            categories = [item.category async for item in client.categories.list()]
            assert "acme" in categories
            (gone,) = await client.categories.delete("acme")
            assert gone.resource_id == made.resource_id

    asyncio.run(walk())
