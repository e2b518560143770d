"""How a budget is shared out among processes."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from payi_middleware.granting import Asked, grant


def test_a_process_gets_what_it_asks_for_and_some_in_advance_while_much_is_left() -> None:
    assert grant(1_000, 0, 0, Asked(in_use=0, first=10, total=20)) == 20 + (1_000 - 20) // 8


def test_who_asks_for_nothing_gets_nothing_more_than_it_has() -> None:
    assert grant(1_000, 0, 0, Asked(in_use=7)) == 7


def test_nothing_is_given_in_advance_where_little_is_left() -> None:
    assert grant(1_000, 900, 0, Asked(in_use=0, first=10, total=20)) == 20


def test_a_process_keeps_what_it_has_in_use_when_nothing_is_left() -> None:
    assert grant(1_000, 1_000, 0, Asked(in_use=30, first=10, total=10)) == 30


def test_the_last_call_may_cost_more_than_what_is_left() -> None:
    assert grant(1_000, 995, 0, Asked(in_use=0, first=10, total=10)) == 10


def test_it_waits_for_those_under_way_elsewhere() -> None:
    assert grant(1_000, 990, 5, Asked(in_use=0, first=10, total=10)) == 0


def test_it_waits_for_its_own_under_way() -> None:
    assert grant(1_000, 990, 0, Asked(in_use=5, first=10, total=10)) == 5


def test_a_budget_that_is_spent_gives_nothing() -> None:
    assert grant(1_000, 1_000, 0, Asked(in_use=0, first=1, total=1)) == 0


AMOUNTS = st.integers(0, 10_000)


@given(maximum=st.integers(1, 10_000), spent=AMOUNTS, others=AMOUNTS, use=AMOUNTS, first=AMOUNTS, more=AMOUNTS)
def test_together_they_never_hold_more_than_is_left_but_for_one_last_call(
    maximum: int, spent: int, others: int, use: int, first: int, more: int
) -> None:
    granted = grant(maximum, spent, others, Asked(use, first, first + more))

    assert granted >= use
    if granted > use:
        alone = use == 0 and others == 0 and spent < maximum and granted == first
        assert spent + others + granted <= maximum or alone
