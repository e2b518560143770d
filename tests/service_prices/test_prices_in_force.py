"""Which price an event gets: by its own time, its scope and its service tier, in every process at once."""

from __future__ import annotations

import subprocess
import sys
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from payi import Payi

from payi_middleware.service.ledger import Ledger
from payi_middleware.service.prices import own
from payi_middleware.service.prices.catalogue import find_resource
from payi_middleware.service.prices.own import NewResource, Pair
from payi_middleware.service.units import Counts

NOW = datetime(2026, 11, 20, 12, tzinfo=UTC)
MILLION = Counts(1_000_000, 0)


def create(ledger: Ledger, usd: str, start: datetime, pair: tuple[str, str] = ("acme", "llama"), **more: str) -> str:
    prices = {"text": usd, **more}
    units = {unit: (Decimal(price), Decimal(0)) for unit, price in prices.items()}
    made = ledger.write(own.create, NewResource(pair=Pair(*pair), units=units, start=start), datetime.now(UTC))
    return made.resource.resource_id


def ingest(ledger: Ledger, at: datetime | None = None, pair: tuple[str, str] = ("acme", "llama"), **more: Any) -> Any:
    event = {"category": pair[0], "resource": pair[1], "units": {"text": {"input": 1}}, **more}
    if at is not None:
        event["event_timestamp"] = at.isoformat()
    return ledger.ingest(event)["xproxy_result"]


def cost(result: Any) -> Decimal:
    total: Decimal = result["cost"]["total"]["base"]
    return total


def test_the_version_in_force_at_an_events_time_prices_it_however_late_it_comes(ledger: Ledger) -> None:
    first = create(ledger, "1", NOW - timedelta(days=2))
    second = create(ledger, "2", NOW - timedelta(days=1))
    for at, usd, resource_id in (
        (NOW, 2, second),
        (NOW - timedelta(days=1), 2, second),
        (NOW - timedelta(days=1, microseconds=1), 1, first),
        (NOW - timedelta(days=2), 1, first),
    ):
        result = ingest(ledger, at)
        assert cost(result) == usd
        assert result["resource_id"] == resource_id
    before = ingest(ledger, NOW - timedelta(days=2, microseconds=1))
    assert cost(before) == 0
    assert "no price is known for acme/llama" in before["warnings"][0]


def test_of_two_versions_with_one_start_the_one_that_was_made_later_holds(ledger: Ledger) -> None:
    for usd in range(1, 6):
        create(ledger, str(usd), NOW)
    assert cost(ingest(ledger, NOW)) == 5


def test_a_version_that_was_put_in_between_holds_until_the_next_one(ledger: Ledger) -> None:
    create(ledger, "1", NOW - timedelta(days=9))
    create(ledger, "3", NOW - timedelta(days=3))
    create(ledger, "2", NOW - timedelta(days=6))
    assert [cost(ingest(ledger, NOW - timedelta(days=days))) for days in (7, 5, 1)] == [1, 2, 3]


def test_what_was_booked_keeps_its_price_when_prices_change_or_go(ledger: Ledger) -> None:
    create(ledger, "1", NOW)
    told = ledger.ingest(
        {"category": "acme", "resource": "llama", "units": {"text": {"input": 1}}, "provider_response_id": "r"}
    )
    create(ledger, "2", NOW)
    ledger.write(own.delete, "acme")
    result = ledger.result(told["request_id"])
    assert result is not None
    assert cost(result["xproxy_result"]) == 1
    assert cost(ingest(ledger)) == 0


def test_ones_own_price_of_a_model_of_the_catalogue_holds_from_its_start_on(ledger: Ledger) -> None:
    pair = ("system.openai", "gpt-4o")
    create(ledger, "0.5", NOW, pair)
    assert cost(ingest(ledger, NOW, pair)) == Decimal("0.5")
    assert cost(ingest(ledger, NOW - timedelta(days=1), pair)) == Decimal("0.0000025")
    assert cost(ingest(ledger, NOW, ("system.azureopenai", "gpt-4o"))) == Decimal("0.0000025")


_CHANGE = """
import sys
from datetime import UTC, datetime
from decimal import Decimal
from payi_middleware.service.ledger import Ledger
from payi_middleware.service.prices import own
from payi_middleware.service.prices.own import NewResource, Pair

with Ledger(sys.argv[1]) as ledger:
    units = {"text": (Decimal(sys.argv[2]), None)}
    new = NewResource(pair=Pair("acme", "llama"), units=units, start=datetime(2026, 1, 1, tzinfo=UTC))
    ledger.write(own.create, new, datetime.now(UTC))
"""


def test_a_price_that_another_process_sets_holds_for_the_very_next_event(ledger: Ledger, database: str) -> None:
    assert cost(ingest(ledger)) == 0
    for usd in ("7", "9"):
        subprocess.run([sys.executable, "-c", _CHANGE, database, usd], check=True, timeout=60)
        assert cost(ingest(ledger)) == int(usd)
    answer = ledger.ingest_bulk([{"category": "acme", "resource": "llama", "units": {"text": 1}}], with_results=True)
    assert cost(answer["results"][0]["xproxy_result"]) == 9


def test_a_price_that_is_set_over_http_holds_for_the_very_next_event(client: Payi) -> None:
    for usd in (1.5, 2.5):
        client.categories.resources.create("m", category="acme", units={"text": {"output_price": usd}})
        told = client.ingest.units(category="acme", resource="m", units={"text": {"output": 2}})
        assert told.xproxy_result.cost is not None
        assert told.xproxy_result.cost.output.base == usd * 2  # type: ignore[union-attr]


def test_what_costs_more_than_a_billion_dollars_is_refused_and_the_rest_is_booked(ledger: Ledger) -> None:
    create(ledger, "1000000", NOW - timedelta(days=1))
    events = [{"category": "acme", "resource": "llama", "units": {"text": count}} for count in (1_001, 1_000)]
    answer = ledger.ingest_bulk(events)
    assert (answer["ingest_count"], answer["error_count"]) == (1, 1)
    assert answer["errors"][0]["xproxy_result"]["statusCode"] == 400


def priced(category: str, name: str, tier: str | None, unit: str, counts: Counts = MILLION) -> Decimal:
    found = find_resource(category, name, NOW)
    assert found is not None
    price = found.price({unit: counts}, tier=tier)
    assert price.unknown == {}
    return price.input + price.output


@pytest.mark.parametrize(
    ("tier", "usd"), [(None, "1.25"), ("batch", "0.625"), ("flex", "0.625"), ("priority", "2.5"), ("fast", "2.5")]
)
def test_a_service_tier_has_its_own_prices_by_property_and_by_name_of_the_unit(tier: str | None, usd: str) -> None:
    assert priced("system.openai", "gpt-5", tier, "text") == Decimal(usd)
    named = "text" if tier is None else f"text_{tier}"
    assert priced("system.openai", "gpt-5", None, named) == Decimal(usd)


def test_what_has_no_price_of_its_own_in_a_tier_costs_there_what_it_costs_anyway() -> None:
    assert priced("system.openai", "gpt-5", "batch", "web_search_request", Counts(0, 100)) == 1
    assert priced("system.anthropic", "claude-opus-4-6", "batch", "text_cache_read") == Decimal("0.25")
    assert priced("system.google.vertex", "gemini-2.5-pro", "batch", "text_large_context") == Decimal("1.25")


@pytest.mark.parametrize(
    ("told", "warned"),
    [
        ("batch", None),
        ("FLEX", None),
        ("default", None),
        ("standard", None),
        ("scale", "scale"),
        ("provisioned_throughput", "provisioned_throughput"),
    ],
)
def test_the_property_of_a_report_tells_the_tier_and_one_without_a_price_is_warned_of(
    ledger: Ledger, told: str, warned: str | None
) -> None:
    result = ingest(ledger, NOW, ("system.openai", "gpt-5"), properties={"system.service_tier": told})
    expected = [f"no price is known for the service tier {warned}: priced as standard"] if warned else None
    assert result.get("warnings") == expected
    halved = told.lower() in ("batch", "flex")
    assert cost(result) == Decimal("0.00000125") / (2 if halved else 1)


def test_the_sum_of_a_batch_is_no_large_context_unless_its_units_are_named_so(ledger: Ledger) -> None:
    pair = ("system.google.vertex", "google.gemini-2.5-pro")
    batch = {"system.service_tier": "batch", "system.batch.answers": "300"}
    for units, usd in (
        ({"text": {"input": 300_000}}, "0.1875"),
        ({"text_large_context": {"input": 300_000}}, "0.375"),
    ):
        assert cost(ingest(ledger, NOW, pair, units=units, properties=batch)) == Decimal(usd)
    assert cost(ingest(ledger, NOW, pair, units={"text": {"input": 300_000}})) == Decimal("0.75")


def test_ones_own_resources_have_tiers_by_the_names_of_their_units(ledger: Ledger) -> None:
    create(ledger, "4", NOW, text_batch="1", text_large_context="8")
    batch = {"system.service_tier": "batch"}
    assert cost(ingest(ledger, NOW)) == 4
    assert cost(ingest(ledger, NOW, properties=batch)) == 1
    assert cost(ingest(ledger, NOW, units={"text_batch": 1})) == 1
    assert cost(ingest(ledger, NOW, units={"text_large_context": 1})) == 8
    assert cost(ingest(ledger, NOW, units={"text_large_context": 1}, properties=batch)) == 1


def test_a_tier_begins_on_the_day_that_the_catalogue_gives() -> None:
    before = find_resource("system.openai", "gpt-5", datetime(2026, 10, 11, 23, 59, tzinfo=UTC))
    after = find_resource("system.openai", "gpt-5", datetime(2026, 10, 12, tzinfo=UTC))
    assert before is not None
    assert after is not None
    assert ("flex" in before.tiers, "flex" in after.tiers) == (False, True)
    assert before.resource_id != after.resource_id


def test_a_price_by_the_time_of_day_is_the_one_of_the_events_own_hour() -> None:
    usd = [
        found.price({"text": MILLION}).input
        for hour in (0, 1, 3, 4)
        if (found := find_resource("deepseek", "deepseek-v4-flash", NOW.replace(hour=hour, minute=0))) is not None
    ]
    assert usd == [Decimal("0.15"), Decimal("0.3"), Decimal("0.3"), Decimal("0.15")]


@pytest.mark.parametrize(
    ("category", "name", "unit", "count", "usd"),
    [
        ("system.openai", "whisper-1", "audio_seconds", 3600, "0.36"),
        ("groq", "whisper-large-v3-turbo", "audio_seconds", 3600, "0.04"),
        ("groq", "whisper-large-v3-turbo", "audio_seconds", 3, "0.000111111111110"),  # ten seconds at the least
        ("system.openai", "tts-1", "character", 1_000_000, "15"),
        ("mistral", "mistral-ocr-2512", "page", 1_000, "2"),
    ],
)
def test_speech_and_documents_are_priced_by_the_second_the_character_and_the_page(
    category: str, name: str, unit: str, count: int, usd: str
) -> None:
    assert abs(priced(category, name, None, unit, Counts(count)) - Decimal(usd)) < Decimal("1e-11")


CLAUDE = "anthropic.claude-opus-4-6-v1"


@pytest.mark.parametrize(
    ("name", "scope", "usd"),
    [
        (CLAUDE, None, "5.5"),
        (f"us.{CLAUDE}", None, "5.5"),
        (f"eu.{CLAUDE}", None, "5.5"),
        (f"global.{CLAUDE}", None, "5"),
        (CLAUDE, "global", "5"),
        (CLAUDE, "region.eu-west-1", "5.5"),
        (CLAUDE, "datazone.us", "5.5"),
        (f"arn:aws:bedrock:eu-west-1:123456789012:inference-profile/eu.{CLAUDE}", None, "5.5"),
        (f"arn:aws:bedrock:us-east-1:123456789012:inference-profile/global.{CLAUDE}", None, "5"),
        (f"arn:aws:bedrock:us-east-1::foundation-model/{CLAUDE}", None, "5.5"),
        (f"arn:aws:bedrock:us-east-1::foundation-model/{CLAUDE}", "global", "5"),
        ("ca.anthropic.claude-fable-5-1-v1:0", None, "11"),
        ("apac.amazon.nova-pro-v1:0", None, "0.8"),
    ],
)
def test_bedrocks_regions_profiles_and_scopes_have_their_own_prices(name: str, scope: str | None, usd: str) -> None:
    found = find_resource("system.aws.bedrock", name, NOW, scope)
    assert found is not None
    assert (found.price({"text": MILLION}).input, found.warnings) == (Decimal(usd), ())


@pytest.mark.parametrize(
    ("category", "name", "usd"),
    [
        ("system.openai", "gpt-4o-2024-08-06", "2.5"),
        ("system.openai", "gpt-4o-2024-05-13", "5"),
        ("system.openai", "chatgpt-4o-latest", "5"),
        ("system.anthropic", "claude-3-5-sonnet-latest", "3"),
        ("system.google.vertex", "anthropic.claude-sonnet-4-5@20250929", "3"),
        ("system.google.vertex", "publishers/anthropic/models/claude-sonnet-4-5", "3"),
        ("system.google.vertex", "google.gemini-2.5-flash-latest", "0.3"),
        ("system.azureopenai", "gpt-4o-2024-11-20", "2.5"),
        ("system.azure", "claude-sonnet-4-5", "3"),
        ("system.databricks.aws", "databricks-gpt-oss-120b", "0.15"),
    ],
)
def test_dated_latest_and_prefixed_names_find_their_model(category: str, name: str, usd: str) -> None:
    found = find_resource(category, name, NOW)
    assert found is not None
    assert (found.price({"text": Counts(100_000)}).input, found.warnings) == (Decimal(usd) / 10, ())


def test_a_version_that_the_catalogue_does_not_name_is_priced_as_its_model_with_a_warning() -> None:
    found = find_resource("system.openai", "o3-2099-01-01", NOW)
    assert found is not None
    assert found.price({"text": MILLION}).input == 2
    assert found.warnings == ("o3-2099-01-01 is not in the price list: priced as o3",)
    assert find_resource("system.openai", "no-such-model-2099-01-01", NOW) is None


@pytest.mark.parametrize(
    ("category", "name", "scope", "warned"),
    [
        ("system.azureopenai", "gpt-4o", "datazone.us", True),
        ("system.azureopenai", "gpt-4o", "region", True),
        ("system.azureopenai", "gpt-4o", "global", False),
        ("system.anthropic", "claude-opus-4-6", "datazone.us", True),
        ("system.aws.bedrock", "amazon.nova-pro-v1:0", "global", True),
        ("system.aws.bedrock", "amazon.nova-pro-v1:0", "region", False),
    ],
)
def test_a_scope_whose_price_is_not_known_is_priced_without_it_and_warned_of(
    ledger: Ledger, category: str, name: str, scope: str, warned: bool
) -> None:
    result = ingest(ledger, NOW, (category, name), scope=scope)
    assert cost(result) > 0
    expected = [f"no price is known for the scope {scope}: priced without it"] if warned else None
    assert result.get("warnings") == expected


def test_tokens_of_units_in_a_tier_count_as_tokens(ledger: Ledger) -> None:
    ingest(ledger, NOW, ("system.openai", "gpt-5"), units={"text_batch": {"input": 3, "output": 2}})
    assert [(request.input_tokens, request.output_tokens) for request in ledger.requests()] == [(3, 2)]
