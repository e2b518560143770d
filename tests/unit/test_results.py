"""The sum of a request's results, kept bounded however many there are."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from payi_middleware import Summary, XproxyError, XproxyResult
from payi_middleware.calls import Call
from payi_middleware.context import RequestScope
from payi_middleware.results import NO_CALLS, SEVERITY, summarise


def result(**values: Any) -> XproxyResult:
    return XproxyResult.model_validate(values)


def costing(total: str, input: str | None = None, output: str | None = None) -> XproxyResult:  # noqa: A002 - Pay-i's name
    return result(cost={"input": {"base": input}, "output": {"base": output}, "total": {"base": total}})


def settled(answer: XproxyResult | None) -> Call:
    call = Call()
    call.settle(answer)
    return call


# --- one request -----------------------------------------------------------------------------------------------------


def test_no_calls_are_final_and_cost_nothing_that_is_known() -> None:
    assert summarise(0, []) == NO_CALLS == Summary()
    assert NO_CALLS.status == "final"
    assert NO_CALLS.cost is None


def test_costs_are_added_up_exactly() -> None:
    total = summarise(2, [costing("0.1", "0.07", "0.03"), costing("0.2", "0.15", "0.05")])

    assert (total.cost, total.cost_input, total.cost_output) == (Decimal("0.3"), Decimal("0.22"), Decimal("0.08"))
    assert (total.cost_currency, total.cost_source) == ("usd", "payi")


def test_an_unknown_cost_is_none_and_never_a_made_up_zero() -> None:
    total = summarise(1, [result(request_id="r1")])

    assert (total.cost, total.cost_input, total.cost_output) == (None, None, None)
    assert (total.cost_currency, total.cost_source) == (None, None)


def test_a_cost_of_zero_is_known() -> None:
    assert summarise(1, [costing("0")]).cost == 0


def test_a_missing_part_of_a_cost_is_not_counted_as_zero() -> None:
    total = summarise(2, [costing("0.1", "0.1"), result(cost={"total": {"base": 0.2}})])

    assert (total.cost, total.cost_input, total.cost_output) == (Decimal("0.3"), Decimal("0.1"), None)


def test_request_ids_come_in_call_order_and_are_not_merged() -> None:
    total = summarise(3, [result(request_id="b"), result(request_id="a"), result(request_id="b")])

    assert total.request_ids == ("b", "a", "b")


def test_resources_use_cases_and_blocked_limits_are_listed_once_each() -> None:
    one = result(resource_id="r1", use_case_id="u1", blocked_limit_ids=["l2", "l1"])
    two = result(resource_id="r2", use_case_id="u1", blocked_limit_ids=["l1"])

    total = summarise(3, [one, two, one])

    assert total.resource_ids == ("r1", "r2")
    assert total.use_case_ids == ("u1",)
    assert total.blocked_limit_ids == ("l2", "l1")


@pytest.mark.parametrize("milder", range(len(SEVERITY) - 1))
def test_the_worst_state_of_a_limit_is_shown_whichever_came_first(milder: int) -> None:
    one, other = ({"limits": {"l": {"state": SEVERITY[index]}}} for index in (milder, milder + 1))

    assert summarise(2, [result(**one), result(**other)]).limits == {"l": SEVERITY[milder + 1]}
    assert summarise(2, [result(**other), result(**one)]).limits == {"l": SEVERITY[milder + 1]}


def test_a_state_that_this_version_does_not_know_is_shown_unless_a_known_one_came() -> None:
    odd = result(limits={"l": {"state": "frozen"}})

    assert summarise(1, [odd]).limits == {"l": "frozen"}
    assert summarise(2, [odd, result(limits={"l": {"state": "ok"}})]).limits == {"l": "ok"}
    assert summarise(2, [result(limits={"l": {"state": "ok"}}), odd]).limits == {"l": "ok"}


def test_a_limit_without_a_state_is_not_shown() -> None:
    assert summarise(1, [result(limits={"l": {}})]).limits == {}


# --- final or pending ------------------------------------------------------------------------------------------------


def test_a_summary_is_final_when_each_call_has_its_result() -> None:
    assert summarise(1, [result()]).status == "final"
    assert summarise(2, [result(), None]).status == "pending"


def test_a_summary_of_a_response_that_still_streams_is_pending() -> None:
    assert summarise(1, [result()], streaming=True).status == "pending"
    assert summarise(0, [], streaming=True).status == "pending"


def test_a_summary_stays_pending_when_an_earlier_part_was() -> None:
    assert summarise(2, [result()], before=summarise(1, [None])).status == "pending"


# --- before ----------------------------------------------------------------------------------------------------------

answers = st.builds(
    result,
    request_id=st.none() | st.sampled_from("abc"),
    resource_id=st.none() | st.sampled_from("xy"),
    use_case_id=st.none() | st.sampled_from("uv"),
    blocked_limit_ids=st.none() | st.lists(st.sampled_from("lm"), max_size=2),
    limits=st.none()
    | st.dictionaries(st.sampled_from("lm"), st.sampled_from(SEVERITY).map(lambda state: {"state": state})),
    cost=st.none()
    | st.builds(
        lambda base: {"total": {"base": base}, "input": {"base": base}},
        st.none() | st.decimals(0, 100, places=6),
    ),
)


@given(st.lists(st.none() | answers, max_size=5), st.lists(st.none() | answers, max_size=5))
def test_adding_up_in_two_steps_is_adding_up_in_one(
    first: list[XproxyResult | None], second: list[XproxyResult | None]
) -> None:
    calls = len(first) + len(second)

    assert summarise(calls, second, before=summarise(len(first), first)) == summarise(calls, first + second)


# --- thousands of calls ----------------------------------------------------------------------------------------------


def test_a_request_with_thousands_of_calls_stays_small_and_its_sums_right() -> None:
    scope = RequestScope()
    for number in range(5_000):
        scope.add(
            settled(
                result(
                    request_id=f"r{number}",
                    resource_id=f"model-{number % 3}",
                    cost={"total": {"base": "0.001"}, "input": {"base": "0.0004"}, "output": {"base": "0.0006"}},
                    limits={"l": {"state": "overrun" if number == 77 else "ok"}},
                    blocked_limit_ids=["b"] if number == 99 else None,
                )
            )
        )

    total = scope.summary()

    assert total.calls == 5_000
    assert total.status == "final"
    assert (total.cost, total.cost_input, total.cost_output) == (Decimal(5), Decimal(2), Decimal(3))
    assert total.limits == {"l": "overrun"}
    assert total.blocked_limit_ids == ("b",)
    assert total.resource_ids == ("model-0", "model-1", "model-2")
    assert total.request_ids == tuple(f"r{number}" for number in range(256))
    assert len(scope.tally._calls) <= 128


def test_a_call_that_is_still_pending_is_counted_when_its_result_comes_among_thousands() -> None:
    scope, late = RequestScope(), Call()
    scope.add(late)
    for _ in range(1_000):
        scope.add(settled(costing("0.001")))

    assert (scope.summary().status, scope.summary().cost) == ("pending", Decimal(1))
    late.settle(costing("1"))
    assert (scope.summary().calls, scope.summary().status, scope.summary().cost) == (1_001, "final", Decimal(2))


def test_a_refused_report_among_thousands_leaves_the_summary_pending() -> None:
    scope = RequestScope()
    scope.add(settled(None))
    for _ in range(1_000):
        scope.add(settled(costing("0.001")))

    assert (scope.summary().calls, scope.summary().status) == (1_001, "pending")


def test_a_call_that_turned_out_to_be_none_is_not_counted() -> None:
    scope, call = RequestScope(), Call()
    scope.add(call)

    scope.remove(call)
    scope.remove(call)

    assert scope.summary() == NO_CALLS


def test_due_are_the_calls_that_have_ended_and_have_no_result_yet() -> None:
    scope, streaming, ended, answered = RequestScope(), Call(), Call(), settled(result())
    ended.due = answered.due = True
    for call in (streaming, ended, answered):
        scope.add(call)

    assert scope.due == [ended]


# --- shapes ----------------------------------------------------------------------------------------------------------


def test_what_a_newer_server_says_is_kept() -> None:
    answer = XproxyResult.model_validate_json(
        '{"request_id": "r", "mood": "fine", "cost": {"total": {"base": 0.1, "tax": 1}}, "limits": {"l": {"left": 2}}}'
    )

    assert answer.model_extra == {"mood": "fine"}
    assert answer.cost is not None
    assert answer.cost.total is not None
    assert answer.cost.total.base == Decimal("0.1")
    assert answer.cost.total.model_extra == {"tax": 1}
    assert answer.limits is not None
    assert answer.limits["l"].model_extra == {"left": 2}


def test_an_error_without_a_code_is_an_unknown_error() -> None:
    assert XproxyError.model_validate({"message": "no"}).code == "unknown_error"


def test_results_and_summaries_cannot_be_changed() -> None:
    with pytest.raises(ValidationError, match="frozen"):
        result().request_id = "other"
    with pytest.raises(ValidationError, match="frozen"):
        Summary().calls = 5
