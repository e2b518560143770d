"""What may go out, as one process decides it: no thread, no service."""

from __future__ import annotations

from decimal import Decimal
from time import monotonic

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from payi_middleware.calls import Call
from payi_middleware.limits import budget, money
from payi_middleware.limits.budget import Told
from payi_middleware.limits.budgets import Budgets, Ticket
from payi_middleware.results import Cost, CostPart, LimitState, XproxyResult

CENT = Decimal("0.01")


class Desk:
    """Budgets, and a service that tells what one limit was charged with."""

    def __init__(self, maximum: str = "1", spent: str = "0", *, blocks: bool = True, known: bool = True) -> None:
        self.called = 0
        self.budgets = Budgets(self._call)
        self.maximum = Decimal(maximum)
        self.spent = Decimal(spent)
        self.blocks = blocks
        if known:
            self.budgets.prepare(["budget"])
            self.tell()
        self.called = 0

    def _call(self) -> None:
        self.called += 1

    def tell(self) -> None:
        """Let the budgets know what the service has by now."""
        told = Told("budget", self.blocks, money.roof(self.maximum), money.roof(self.spent))
        self.budgets.learn("budget", told, monotonic())

    def ask(self, cost: Decimal = CENT) -> Ticket:
        """Ask for a call to go out."""
        return self.budgets.ask(["budget"], cost)

    def settle(self, ticket: Ticket, cost: Decimal | None, *, charged: bool = True) -> None:
        """End a call with its result; None ends it without any."""
        call = Call()
        if cost is not None:
            self.spent += cost if charged else 0
            limits = {"budget": LimitState(state="ok")} if charged else {}
            call.settle(XproxyResult(cost=Cost(total=CostPart(base=cost)), limits=limits))
        else:
            call.settle(None)
        self.budgets.settle(ticket, call)


def test_a_call_within_the_budget_goes_out_at_once() -> None:
    desk = Desk()

    assert desk.ask().open
    assert desk.called == 0


def test_a_call_waits_until_the_limit_is_known() -> None:
    desk = Desk(known=False)
    ticket = desk.ask()
    assert ticket.waits
    assert desk.called == 1

    desk.tell()

    assert ticket.open


def test_a_call_whose_limit_cannot_be_asked_for_goes_out() -> None:
    desk = Desk(known=False)
    ticket = desk.ask()

    desk.budgets.forgive("budget")

    assert ticket.open
    assert desk.ask().open


def test_a_call_whose_limit_does_not_exist_goes_out() -> None:
    desk = Desk(known=False)
    ticket = desk.ask()

    desk.budgets.learn_absent("budget")

    assert ticket.open


def test_a_limit_that_was_known_holds_when_the_service_cannot_be_asked_any_more() -> None:
    desk = Desk("1", "1")

    desk.budgets.forgive("budget")

    assert desk.ask().refused_by == ("budget",)


def test_a_limit_of_type_allow_refuses_nothing() -> None:
    desk = Desk("1", "5", blocks=False)

    assert desk.ask().open


def test_a_spent_budget_refuses() -> None:
    desk = Desk("1", "1")
    ticket = desk.ask()

    assert (ticket.open, ticket.refused_by) == (False, ("budget",))
    assert desk.budgets.refused == 1


def test_calls_under_way_count_with_what_they_may_cost() -> None:
    desk = Desk("0.05")

    tickets = [desk.ask() for _ in range(6)]

    assert [ticket.open for ticket in tickets] == [True] * 5 + [False]
    assert tickets[5].waits


def test_room_that_a_cheaper_call_leaves_lets_the_next_one_go() -> None:
    desk = Desk("0.05")
    tickets = [desk.ask() for _ in range(6)]

    desk.settle(tickets[0], Decimal("0.001"))
    assert tickets[5].waits  # 0.04 may be spent, and 0.001 is

    for ticket in tickets[1:5]:
        desk.settle(ticket, Decimal("0.001"))

    assert tickets[5].open


def test_the_last_call_goes_out_alone_though_it_may_cost_more_than_is_left() -> None:
    desk = Desk("0.05", "0.045")
    first, second = desk.ask(), desk.ask()
    assert first.open
    assert second.waits

    desk.settle(first, CENT)
    desk.tell()

    assert second.refused_by == ("budget",)


def test_a_call_that_was_not_answered_gives_its_room_back() -> None:
    desk = Desk("0.01")
    first, second = desk.ask(), desk.ask()

    desk.settle(first, None)

    assert second.open


def test_a_call_that_is_withdrawn_gives_its_room_back() -> None:
    desk = Desk("0.01")
    first, second = desk.ask(), desk.ask()

    desk.budgets.withdraw(first)

    assert second.open


def test_a_waiting_call_that_is_withdrawn_is_decided() -> None:
    desk = Desk("0.01")
    desk.ask()
    second = desk.ask()

    desk.budgets.withdraw(second)

    assert (second.waits, second.open) == (False, False)


def test_what_the_service_has_told_is_not_counted_twice() -> None:
    desk = Desk("0.03")
    for _ in range(2):
        desk.settle(desk.ask(), CENT)
    desk.tell()

    assert desk.ask().open


def test_a_result_that_came_after_the_question_counts_on_top_of_the_answer() -> None:
    desk = Desk("0.02")
    asked_at = monotonic()
    before = desk.spent
    desk.settle(desk.ask(), CENT)
    desk.budgets.learn("budget", Told("budget", True, money.roof(desk.maximum), money.roof(before)), asked_at)

    first, second = desk.ask(), desk.ask()

    assert first.open
    assert second.waits


def test_what_the_service_never_counts_is_counted_here() -> None:
    desk = Desk("0.02")
    for _ in range(2):
        desk.settle(desk.ask(), CENT, charged=False)
        desk.tell()

    assert desk.ask().refused_by == ("budget",)


def test_nobody_overtakes_who_waits_at_the_same_budget() -> None:
    desk = Desk("0.05")
    tickets = [desk.ask() for _ in range(5)]
    dear = desk.ask(Decimal("0.03"))
    cheap = desk.ask(Decimal("0.001"))
    assert (dear.waits, cheap.waits) == (True, True)

    for ticket in tickets:
        desk.settle(ticket, Decimal(0))

    assert (dear.open, cheap.open) == (True, True)


def test_a_call_that_only_names_a_limit_of_type_allow_waits_for_nobody() -> None:
    desk = Desk("0.01")
    desk.budgets.prepare(["open"])
    desk.budgets.learn("open", Told("open", False, 10, 0), monotonic())
    desk.ask()
    waiting = desk.budgets.ask(["budget", "open"], CENT)

    assert waiting.waits
    assert desk.budgets.ask(["open"], CENT).open


def test_a_call_that_the_app_lets_pass_is_counted_where_limits_block_and_nowhere_else() -> None:
    desk = Desk("1", "1")
    desk.budgets.prepare(["open"])
    desk.budgets.learn("open", Told("open", False, 10, 0), monotonic())
    ticket = desk.budgets.ask(["budget", "open"], CENT)

    desk.budgets.override(ticket)
    assert [desk.budgets.view(limit)[1].reserved for limit in ("budget", "open")] == [CENT, 0]
    desk.settle(ticket, CENT)

    assert [desk.budgets.view(limit)[1].reserved for limit in ("budget", "open")] == [0, 0]
    assert desk.budgets.refused == 0


def test_what_the_service_never_counts_ends_with_the_period() -> None:
    desk = Desk("0.05", "0.04")
    desk.settle(desk.ask(), CENT, charged=False)
    desk.tell()
    assert desk.ask().refused_by == ("budget",)

    desk.spent = Decimal(0)
    desk.tell()

    assert desk.budgets.view("budget")[1].spent == 0
    assert desk.ask().open


def test_a_call_that_has_waited_long_enough_is_refused() -> None:
    desk = Desk("0.01")
    desk.ask()
    second = desk.ask()

    desk.budgets.conclude(second)

    assert second.refused_by == ("budget",)


def test_a_call_that_has_waited_for_an_unknown_limit_goes_out() -> None:
    desk = Desk(known=False)
    ticket = desk.ask()

    desk.budgets.conclude(ticket)

    assert ticket.open


def test_each_limit_of_a_call_has_to_have_room() -> None:
    desk = Desk("1")
    desk.budgets.prepare(["other"])
    desk.budgets.learn("other", Told("other", True, 10, 10), monotonic())

    ticket = desk.budgets.ask(["budget", "other"], CENT)

    assert ticket.refused_by == ("other",)
    assert desk.budgets.view("budget")[1].reserved == 0


@pytest.mark.parametrize(
    ("blocks", "spent", "threshold", "state"),
    [
        (True, "0.5", None, "ok"),
        (True, "0.8", "0.75", "exceeded"),
        (True, "1", None, "blocked"),
        (False, "1", None, "exceeded"),
        (False, "1.1", None, "overrun"),
        (False, "0.7", "0.75", "ok"),
    ],
)
def test_the_state_of_a_limit(blocks: bool, spent: str, threshold: str | None, state: str) -> None:
    desk = Desk(known=False)
    desk.budgets.prepare(["budget"])
    fraction = None if threshold is None else Decimal(threshold)
    told = Told("The budget", blocks, money.roof(Decimal(1)), money.roof(Decimal(spent)), fraction)
    desk.budgets.learn("budget", told, monotonic())

    found, limit = desk.budgets.view("budget")

    assert found == state
    assert (limit.max, limit.spent, limit.limit_name) == (Decimal(1), Decimal(spent), "The budget")


def test_a_shared_budget_is_used_up_to_what_was_granted() -> None:
    desk = Desk()
    told = Told("budget", True, money.roof(Decimal(1)), 0, granted=money.roof(Decimal("0.02")), left=0)
    desk.budgets.learn("budget", told, monotonic())

    tickets = [desk.ask() for _ in range(3)]

    assert [ticket.open for ticket in tickets] == [True, True, False]
    asked = desk.budgets.asked("budget", monotonic())
    assert asked == (2 * 10**7, 10**7, 10**7)


def test_what_is_held_in_advance_is_given_back_when_others_have_none() -> None:
    desk = Desk()
    told = Told("budget", True, money.roof(Decimal(1)), 0, granted=money.roof(Decimal("0.5")), left=0)
    desk.budgets.learn("budget", told, monotonic())

    assert desk.budgets.asked("budget", monotonic()).in_use == 0


def test_what_is_held_in_advance_is_given_back_when_no_more_calls_come(monkeypatch: pytest.MonkeyPatch) -> None:
    desk = Desk()
    told = Told("budget", True, money.roof(Decimal(1)), 0, granted=100, left=10**9)
    desk.budgets.learn("budget", told, monotonic())
    assert desk.budgets.asked("budget", monotonic()).in_use == 100

    monkeypatch.setattr(budget, "_IDLE", 0.0)

    assert desk.budgets.asked("budget", monotonic()).in_use == 0


STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("ask"), st.integers(0, 3)),
        st.tuples(st.just("end"), st.integers(0, 9), st.integers(0, 100)),
        st.tuples(st.just("fail"), st.integers(0, 9)),
        st.tuples(st.just("tell")),
        st.tuples(st.just("give up"), st.integers(0, 9)),
    ),
    max_size=60,
)


@settings(deadline=None)
@given(steps=STEPS)
def test_whatever_happens_the_spend_ends_within_one_call_of_the_limit_and_no_room_is_lost(
    steps: list[tuple[str | int, ...]],
) -> None:
    desk = Desk("0.05")
    out: list[Ticket] = []
    waiting: list[Ticket] = []

    def sort() -> None:
        out.extend(ticket for ticket in waiting if ticket.open)
        waiting[:] = [ticket for ticket in waiting if ticket.waits]

    for what, *numbers in steps:
        number = int(numbers[0]) if numbers else 0
        if what == "ask":
            waiting.append(desk.ask())
        elif what == "tell":
            desk.tell()
        elif what == "give up" and number < len(waiting):
            desk.budgets.withdraw(waiting[number])
        elif what in ("end", "fail") and number < len(out):
            ended = out.pop(number)
            desk.settle(ended, None if what == "fail" else CENT * int(numbers[1]) / 100)
        sort()
        assert desk.spent < desk.maximum + CENT

    while out or waiting:
        while out:
            desk.settle(out.pop(), CENT)
        sort()
        desk.tell()
        sort()

    assert desk.ask().open == (desk.spent < desk.maximum)
    assert desk.spent < desk.maximum + CENT
