"""Exact amounts, in and out of the database."""

from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from payi_middleware.service.store.money import as_decimal, join, plain, split

amounts = st.decimals(min_value=0, max_value=10**9, places=15)


@given(st.lists(amounts, max_size=20))
def test_amounts_stored_in_two_integers_and_summed_apart_lose_nothing(values: list[Decimal]) -> None:
    stored = [split(value) for value in values]
    total = join(sum(amount.micros for amount in stored), sum(amount.rest for amount in stored))
    assert total == sum((value for value in values), Decimal(0))


def test_a_digit_below_the_quantum_is_rounded_half_to_even() -> None:
    assert join(*split(Decimal("0.0000000000000005"))) == 0
    assert join(*split(Decimal("0.0000000000000015"))) == Decimal("2e-15")


@pytest.mark.parametrize(("value", "text"), [("100.00", "100"), ("0.10", "0.1"), ("0", "0"), ("1E+2", "100")])
def test_amounts_are_written_plainly(value: str, text: str) -> None:
    assert str(plain(Decimal(value))) == text


@pytest.mark.parametrize(("value", "expected"), [(0.1, "0.1"), (3, "3"), (Decimal("0.30"), "0.3"), (1e-7, "1e-7")])
def test_a_number_is_read_as_a_person_wrote_it(value: float | Decimal, expected: str) -> None:
    assert as_decimal(value) == Decimal(expected)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), True, "1", None, Decimal("NaN")])
def test_what_is_no_finite_number_is_not_read(value: object) -> None:
    assert as_decimal(value) is None
