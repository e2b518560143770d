"""What things cost, against genai-prices' own arithmetic and against prices worked out by hand."""

from __future__ import annotations

import decimal
from collections.abc import Iterator
from datetime import UTC, datetime
from decimal import Decimal

import pytest
from genai_prices import Usage, calc_price
from genai_prices.data import providers
from genai_prices.types import ModelInfo

from payi_middleware.service.prices.catalogue import find_resource
from payi_middleware.service.prices.resource import Resource
from payi_middleware.service.units import Counts

NOW = datetime(2026, 11, 20, 12, tzinfo=UTC)


def resource(category: str, name: str, at: datetime = NOW) -> Resource:
    found = find_resource(category, name, at)
    assert found is not None
    return found


def models() -> Iterator[tuple[str, ModelInfo]]:
    for provider in providers:
        for model in provider.models:
            if model.is_match(model.id) and provider.find_model(model.id) is model:
                yield provider.id, model


@pytest.mark.parametrize("text_tokens", [1_000, 190_000, 700_001])
def test_every_model_of_the_catalogue_costs_what_genai_prices_says_of_the_inclusive_usage(text_tokens: int) -> None:
    checked = 0
    for provider, model in models():
        hour = 70 if getattr(model.get_prices(NOW), "cache_write_1h_mtok", None) is not None else 0
        units = {
            "text": Counts(text_tokens, 300),
            "text_cache_read": Counts(1_100),
            "text_cache_write": Counts(90),
            "text_cache_write_1h": Counts(hour),
            "reasoning": Counts(0, 41),
            "web_search_request": Counts(0, 3),
        }
        usage = Usage(
            input_tokens=text_tokens + 1_100 + 90 + hour,
            output_tokens=341,
            cache_read_tokens=1_100,
            cache_write_tokens=90 + hour,
            cache_write_1h_tokens=hour,
            output_reasoning_tokens=41,
            web_searches=3,
        )
        expected = calc_price(usage, model.id, provider_id=provider, genai_request_timestamp=NOW)
        cost = resource(provider, model.id).price(units)
        # Some catalogue prices carry float noise, which is cut off below 10^-15 USD per token.
        assert abs(cost.input + cost.output - expected.total_price) < Decimal("1e-9"), (provider, model.id)
        checked += 1
    assert checked > 2_000


def test_clean_prices_add_up_to_the_last_digit() -> None:
    units = {"text": Counts(1_234, 567), "text_cache_read": Counts(89), "reasoning": Counts(0, 10)}
    cost = resource("system.openai", "gpt-4o-mini-2024-07-18").price(units)
    assert cost == (Decimal("0.000191775"), Decimal("0.0003462"), {})


def test_the_decimal_precision_an_app_sets_for_itself_does_not_round_our_money() -> None:
    with decimal.localcontext() as context:
        context.prec = 3
        cost = resource("system.openai", "gpt-4o-mini").price({"text": Counts(123_456_789, 0)})
    assert cost.input == Decimal("18.51851835")


@pytest.mark.parametrize(
    ("category", "name", "provider", "model"),
    [
        ("system.openai", "gpt-4o", "openai", "gpt-4o"),
        ("system.azureopenai", "gpt-4o", "azure", "gpt-4o"),
        ("system.azure", "gpt-4o", "azure", "gpt-4o"),
        ("system.anthropic", "claude-haiku-4-5", "anthropic", "claude-haiku-4-5"),
        ("system.aws.bedrock", "amazon.nova-pro-v1:0", "aws", "amazon.nova-pro-v1:0"),
        (
            "system.aws.bedrock",
            "arn:aws:bedrock:us-east-1::foundation-model/amazon.nova-pro-v1:0",
            "aws",
            "amazon.nova-pro-v1:0",
        ),
        ("system.google.vertex", "google.gemini-2.5-flash", "google", "gemini-2.5-flash"),
        ("system.google.vertex", "gemini-2.5-flash", "google", "gemini-2.5-flash"),
        ("system.google.vertex", "models/gemini-2.5-flash", "google", "gemini-2.5-flash"),
        ("groq", "llama-3.3-70b-versatile", "groq", "llama-3.3-70b-versatile"),
        ("mistral", "mistral-large-latest", "mistral", "mistral-large-latest"),
        ("deepseek", "deepseek-chat", "deepseek", "deepseek-chat"),
        ("xai", "grok-4", "x-ai", "grok-4"),
        ("openrouter", "openai/gpt-4o", "openrouter", "openai/gpt-4o"),
    ],
)
def test_a_category_is_priced_by_the_provider_it_stands_for(
    category: str, name: str, provider: str, model: str
) -> None:
    usage = Usage(input_tokens=1_000, output_tokens=100)
    expected = calc_price(usage, model, provider_id=provider, genai_request_timestamp=NOW)
    cost = resource(category, name).price({"text": Counts(1_000, 100)})
    assert (cost.input, cost.output) == (expected.input_price, expected.output_price)


def test_a_custom_category_that_contains_a_providers_name_has_no_price_of_that_provider() -> None:
    assert find_resource("my-openai-gateway", "gpt-4o", NOW) is None


def test_an_unknown_model_category_or_no_resource_at_all_has_no_price() -> None:
    assert find_resource("system.openai", "no-such-model", NOW) is None
    assert find_resource("acme", "gpt-4o", NOW) is None
    assert find_resource("system.openai", None, NOW) is None


def test_the_price_in_force_at_the_time_of_the_event_counts_and_is_a_version_of_its_own() -> None:
    before = resource("system.openai", "o3", datetime(2025, 6, 9, 23, 59, tzinfo=UTC))
    after = resource("system.openai", "o3", datetime(2025, 6, 10, tzinfo=UTC))
    units = {"text": Counts(1_000_000, 0)}
    assert (before.price(units).input, after.price(units).input) == (Decimal(10), Decimal(2))
    assert before.resource_id != after.resource_id


def test_a_resource_id_is_the_same_for_the_same_name_and_prices_and_differs_by_category() -> None:
    assert resource("system.openai", "gpt-4o").resource_id == resource("system.openai", "gpt-4o").resource_id
    assert resource("system.openai", "gpt-4o").resource_id != resource("system.azureopenai", "gpt-4o").resource_id


def test_reasoning_is_billed_as_output_where_it_has_no_price_of_its_own() -> None:
    assert resource("system.openai", "gpt-5").price({"reasoning": Counts(0, 1_000)}).output == Decimal("0.01")
    assert resource("perplexity", "sonar-deep-research").price({"reasoning": Counts(0, 1_000)}).output == Decimal(
        "0.003"
    )


def test_images_in_a_prompt_are_billed_as_input_tokens_unless_listed_apart() -> None:
    assert resource("system.openai", "gpt-4o").price({"vision": Counts(1_000)}).input == Decimal("0.0025")
    assert resource("system.openai", "gpt-image-1").price({"image": Counts(1_000)}).input == Decimal("0.01")


def test_audio_has_its_own_price_or_none_at_openai_and_the_price_of_text_at_google() -> None:
    audio = {"audio": Counts(1_000, 1_000)}
    cost = resource("system.openai", "gpt-audio").price(audio)
    assert (cost.input, cost.output) == (Decimal("0.032"), Decimal("0.064"))
    assert resource("system.openai", "gpt-4o-audio-preview").price(audio).unknown == audio
    assert resource("system.google.vertex", "gemini-2.5-flash").price({"audio": Counts(1_000)}).input == Decimal(
        "0.001"
    )
    assert resource("system.google.vertex", "gemini-2.5-pro").price({"audio": Counts(1_000)}).input == Decimal(
        "0.00125"
    )


def test_one_hour_cache_writes_of_claude_cost_twice_its_input_where_the_catalogue_is_silent() -> None:
    hour = {"text_cache_write_1h": Counts(1_000)}
    assert resource("system.anthropic", "claude-haiku-4-5").price(hour).input == Decimal("0.002")
    assert resource("system.google.vertex", "anthropic.claude-3-haiku").price(hour).input == Decimal("0.0005")
    assert resource("system.openai", "gpt-4o").price(hour).unknown == hour


def test_a_counter_without_a_price_is_unknown_and_the_other_counter_of_its_unit_is_billed() -> None:
    cost = resource("system.openai", "text-embedding-3-small").price({"text": Counts(1_000_000, 7)})
    assert cost == (Decimal("0.02"), Decimal(0), {"text": Counts(0, 7)})


def test_a_counter_of_zero_is_never_unknown() -> None:
    assert resource("system.openai", "gpt-4o").price({"guardrail_topic": Counts(0, 0)}).unknown == {}


def test_large_context_units_and_plain_ones_of_a_large_request_cost_the_same() -> None:
    model = resource("system.google.vertex", "gemini-2.5-pro")
    plain = model.price({"text": Counts(199_000, 1_000), "text_cache_read": Counts(1_001)})
    named = {"text_large_context": Counts(199_000, 1_000), "text_cache_read_large_context": Counts(1_001)}
    assert plain == model.price(named)
    assert plain.input == Decimal("0.49775025")


def test_a_unit_named_large_context_gets_its_price_at_the_very_edge_and_a_plain_one_does_not() -> None:
    model = resource("system.anthropic", "claude-sonnet-4-5")
    assert model.price({"text_large_context": Counts(200_000)}).input == Decimal("1.2")
    assert model.price({"text": Counts(200_000)}).input == Decimal("0.6")
    assert model.price({"text": Counts(200_001)}).input == Decimal("1.200006")


def test_large_context_of_a_model_with_one_price_costs_that_price() -> None:
    model = resource("system.anthropic", "claude-opus-4-1")
    assert model.price({"text_large_context": Counts(300_000)}).input == Decimal("4.5")


def test_web_searches_are_billed_by_the_thousand_in_the_direction_they_are_reported() -> None:
    cost = resource("system.anthropic", "claude-opus-4-1").price({"web_search_request": Counts(0, 2)})
    assert (cost.input, cost.output) == (Decimal(0), Decimal("0.02"))


def test_a_fee_per_request_is_charged_once_and_only_to_calls_that_used_something() -> None:
    model = resource("perplexity", "sonar")
    assert model.price({"text": Counts(1_000, 0)}).input == Decimal("0.013")
    assert model.price({"text": Counts(1_000, 0)}, succeeded=False).input == Decimal("0.001")
    assert model.price({}).input == 0
