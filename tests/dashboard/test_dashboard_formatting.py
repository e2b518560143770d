"""Amounts, times and names as people read them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest

from payi_middleware.service.dashboard.formatting import (
    ago,
    change,
    duration,
    money,
    number,
    percent,
    places_for,
    shortened,
)
from payi_middleware.service.store import clock

NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("usd", "told"),
    [
        ("0", "$0"),
        ("1234567.891", "$1,234,567.89"),
        ("1", "$1.00"),
        ("0.5", "$0.500"),
        ("0.0123456", "$0.0123"),
        ("0.00001005", "$0.0000100"),
        ("0.000000000000001", "<$0.0000000001"),
        ("-2.5", "\N{MINUS SIGN}$2.50"),
    ],
)
def test_an_amount_has_the_digits_that_tell_something(usd: str, told: str) -> None:
    assert money(Decimal(usd)) == told


def test_the_amounts_of_a_column_have_the_same_decimals_unless_nothing_would_be_left_of_one() -> None:
    amounts = [Decimal("12.345"), Decimal("0.5"), Decimal("0.0001")]
    places = places_for(amounts)
    assert [money(amount, places) for amount in amounts] == ["$12.34", "$0.50", "$0.000100"]
    assert money(Decimal("0.017"), 2) == "$0.0170"
    assert money(None) == "\N{EN DASH}"


def test_shares_times_and_numbers_are_short() -> None:
    assert [percent(0.1234), percent(0.00001), percent(0.0), percent(1.0)] == ["12.3%", "<0.1%", "0.0%", "100.0%"]
    assert [duration(12), duration(1234), duration(125_000), duration(None)] == [
        "12 ms",
        "1.23 s",
        "2 min 05 s",
        "\N{EN DASH}",
    ]
    assert [number(Decimal("4.500")), number(3.0), number(0.12345)] == ["4.5", "3", "0.123"]


@pytest.mark.parametrize(
    ("passed", "told"),
    [
        (0.2, "just now"),
        (5, "5 s ago"),
        (60, "1 min ago"),
        (7300, "2 h ago"),
        (86_400, "1 day ago"),
        (1e6, "11 days ago"),
    ],
)
def test_it_is_said_how_long_ago_something_was(passed: float, told: str) -> None:
    assert ago(clock.micros(NOW - timedelta(seconds=passed)), NOW) == told


def test_a_change_is_told_of_what_there_was() -> None:
    assert change(Decimal(3), Decimal(2)) == 0.5
    assert change(0, 2) == -1
    assert change(2, 0) is None
    assert change(0, 0) == 0


def test_a_long_name_keeps_both_its_ends() -> None:
    assert shortened("short") == "short"
    told = shortened("req_0cb196e1c5def7507b3853d5000038", 17)
    assert len(told) == 17
    assert told.startswith("req_")
    assert told.endswith("d5000038")
