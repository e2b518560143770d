"""What a call may cost, and what it cost before Pay-i says so."""

from __future__ import annotations

from decimal import Decimal

import pytest

from payi_middleware.limits.catalogue import listed_rates
from payi_middleware.limits.estimates import Accuracy, Costs, Rates, Resource, output_asked, rates_of_answer

MODEL: Resource = ("system.openai", "gpt-4o-mini")
IN, OUT = Decimal("0.001"), Decimal("0.01")
RATES = Rates({"text": (IN, OUT), "text_cache_read": (Decimal("0.0001"), None), "audio": (None, None)})


def known() -> Costs:
    costs = Costs(lambda _: None)
    costs.learn(MODEL, RATES)
    return costs


@pytest.mark.parametrize(
    ("body", "tokens"),
    [
        (b'{"max_tokens": 50}', 50),
        (b'{"max_completion_tokens":60,"max_tokens":50}', 60),
        (b'{"max_output_tokens":70}', 70),
        (b'{"generationConfig":{"maxOutputTokens":80}}', 80),
        (b'{"inferenceConfig":{"maxTokens":90}}', 90),
        (b'{"options":{"num_predict":100}}', 100),
        (b'{"messages":"' + b"x" * 100_000 + b'","max_tokens":50}', 50),
        (b'{"prompt":"say \\"max_tokens\\": 7"}', None),
        (b"{}", None),
        (None, None),
    ],
    ids=[
        "chat",
        "the largest",
        "responses",
        "gemini",
        "converse",
        "ollama",
        "behind a prompt",
        "in it",
        "none",
        "no body",
    ],
)
def test_the_length_of_an_answer_is_what_the_request_bounds_it_to(body: bytes | None, tokens: int | None) -> None:
    assert output_asked(body) == tokens


def test_a_call_may_cost_its_prompt_and_the_longest_answer_it_allows() -> None:
    body = b'{"max_tokens": 50}' + b" " * 282

    assert known().upper(MODEL, body) == 100 * IN + 50 * OUT


def test_an_answer_without_a_bound_is_taken_for_a_thousand_tokens() -> None:
    assert known().upper(MODEL, None) == 1_000 * OUT


def test_an_answer_without_a_bound_may_cost_as_much_as_the_dearest_one_that_was_seen() -> None:
    costs = known()
    for cost in (Decimal(20), Decimal(5)):
        costs.seen(MODEL, cost)

    assert costs.upper(MODEL, None) == 20
    assert costs.upper(MODEL, b'{"max_tokens": 50}') < 1


def test_a_model_without_a_price_is_taken_to_cost_a_cent_until_one_was_seen() -> None:
    asked: list[Resource] = []
    costs = Costs(asked.append)
    assert costs.upper(MODEL, None) == Decimal("0.01")
    assert asked == [MODEL]

    costs.seen(MODEL, Decimal("0.3"))

    assert costs.upper(MODEL, b'{"max_tokens": 5}') == Decimal("0.3")


class Clock:
    """Seconds that pass when a test says so."""

    now = 1_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


def test_prices_that_could_not_be_had_are_asked_for_again_a_minute_later(clock: Clock) -> None:
    asked: list[Resource] = []
    costs = Costs(asked.append, clock)
    costs.learn(MODEL, None)

    clock.now += 59
    costs.upper(MODEL, None)
    assert asked == []
    clock.now += 2
    costs.upper(MODEL, None)

    assert asked == [MODEL]
    costs.learn(MODEL, RATES)
    assert costs.upper(MODEL, None) == 1_000 * OUT


def test_known_prices_are_asked_for_again_an_hour_later_and_stay_in_use_until_there_are_others(clock: Clock) -> None:
    asked: list[Resource] = []
    costs = Costs(asked.append, clock)
    costs.learn(MODEL, RATES)
    clock.now += 3_599
    costs.prepare(MODEL)
    assert asked == []

    clock.now += 2
    assert costs.upper(MODEL, None) == 1_000 * OUT
    assert asked == [MODEL]
    costs.learn(MODEL, None)
    assert costs.upper(MODEL, None) == 1_000 * OUT
    costs.learn(MODEL, Rates({"text": (IN, 2 * OUT)}))

    assert costs.upper(MODEL, None) == 2_000 * OUT


def test_list_prices_serve_until_whoever_charges_can_be_asked_and_do_not_take_the_place_of_its_own(
    clock: Clock,
) -> None:
    asked: list[Resource] = []
    costs = Costs(asked.append, clock)
    costs.learn(MODEL, Rates({"text": (IN, 2 * OUT)}), provisional=True)
    assert costs.upper(MODEL, None) == 2_000 * OUT
    clock.now += 61
    costs.prepare(MODEL)
    assert asked == [MODEL]

    costs.learn(MODEL, RATES)
    costs.learn(MODEL, Rates({"text": (IN, 2 * OUT)}), provisional=True)

    assert costs.upper(MODEL, None) == 1_000 * OUT


def test_what_was_used_is_priced_unit_by_unit_and_a_kind_without_a_price_as_what_it_is_a_kind_of() -> None:
    units = {
        "text": {"input": 10, "output": 2},
        "text_cache_read": {"input": 10},
        "text_cache_write_1h": {"input": 1},
        "reasoning": {"output": 3},
        "audio_large_context": {"input": 1},
    }

    result = known().of_units(MODEL, units)

    assert result is not None
    assert result.cost is not None
    assert result.cost.input is not None
    assert result.cost.total is not None
    assert result.cost.input.base == 10 * IN + Decimal("0.001") + IN + IN
    assert result.cost.total.base == result.cost.input.base + 5 * OUT


def test_nothing_is_estimated_without_a_price_or_without_usage() -> None:
    assert Costs(lambda _: None).of_units(MODEL, {"text": {"input": 1}}) is None
    assert known().of_units(MODEL, {}) is None


def test_the_error_is_the_mean_of_how_far_estimates_were_off() -> None:
    assert Accuracy().error is None
    accuracy = Accuracy()

    for estimate, cost in ((1, 1), (3, 2), (1, 0)):
        accuracy.add(Decimal(estimate), Decimal(cost))

    assert (accuracy.count, accuracy.error) == (2, 0.25)


def test_the_version_in_force_is_what_pay_i_charges() -> None:
    old = {"active": False, "start_timestamp": "2026-01-01", "units": {"text": {"input_price": 9, "output_price": 9}}}
    new = {"active": True, "start_timestamp": "2025-01-01", "units": {"text": {"input_price": 0.001}}}

    rates = rates_of_answer({"items": [old, new]})

    assert rates == Rates({"text": (IN, None)})
    assert rates_of_answer({"items": []}) is None
    assert rates_of_answer("nonsense") is None


@pytest.mark.parametrize(
    ("resource", "same"),
    [
        (("system.google.vertex", "google.gemini-2.5-flash"), ("google", "gemini-2.5-flash")),
        (("system.aws.bedrock", "us.anthropic.claude-haiku-4-5-20251001-v1:0"), None),
        (("system.openai", "gpt-4o-mini-2024-07-18"), MODEL),
    ],
    ids=["vertex", "bedrock", "dated"],
)
def test_list_prices_are_found_by_pay_is_names(resource: Resource, same: Resource | None) -> None:
    rates = listed_rates(resource)

    assert rates is not None
    assert rates.of("text", 0)
    if same is not None:
        assert rates == listed_rates(same)


def test_a_model_that_is_not_listed_has_no_list_price() -> None:
    assert listed_rates(("system.openai", "no-such-model")) is None
    assert listed_rates(("my-gateway", "gpt-4o-mini")) is None
