"""Charts: drawn in the browser from a table that says the same, for those who do not see them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from payi_middleware.service.dashboard.formatting import money, places_for
from payi_middleware.service.dashboard.periods import Period
from payi_middleware.service.dashboard.queries.sums import Sums
from payi_middleware.service.store import clock

from .context import Page

__all__ = ["Bar", "Chart", "Series", "chart"]


@dataclass(frozen=True, slots=True)
class Series:
    """Sums by the first hour of each bar."""

    name: str
    bars: Mapping[int, Sums]


@dataclass(frozen=True, slots=True)
class Bar:
    """A bar: its amounts in USD, one for each series, and their sum."""

    title: str
    short: str
    amounts: Sequence[Decimal]
    total: Decimal


@dataclass(frozen=True, slots=True)
class Chart:
    """A bar chart, stacked.

    Args:
        summary: what it shows, in a sentence.
        places: decimals of its amounts.
    """

    title: str
    summary: str
    series: Sequence[str]
    bars: Sequence[Bar]
    places: int
    export: str


def chart(period: Period, series: Sequence[Series], title: str, totals: Mapping[int, Sums], page: Page) -> Chart:
    """Return a chart of a period."""
    bars = []
    for hour in period.buckets:
        at = clock.from_micros(hour * clock.HOUR)
        amounts = [one.bars[hour].cost if hour in one.bars else Decimal() for one in series]
        bars.append(
            Bar(_title(at, period), _short(at, period), amounts, totals[hour].cost if hour in totals else Decimal())
        )
    return Chart(
        title,
        _summary(bars, period),
        [one.name for one in series],
        bars,
        places_for(bar.total for bar in bars),
        page.url("/export/spend-over-time.csv"),
    )


def _title(at: datetime, period: Period) -> str:
    return f"{at:%-d %b, %H:%M}" if period.step == 1 else f"{at:%a %-d %b %Y}"


def _short(at: datetime, period: Period) -> str:
    return f"{at:%H:%M}" if period.step == 1 else f"{at:%-d %b}"


def _summary(bars: Sequence[Bar], period: Period) -> str:
    unit = "hour" if period.step == 1 else "day"
    if not any(bar.total for bar in bars):
        return f"Nothing was spent in this period of {len(bars)} {unit}s."
    highest = max(bars, key=lambda bar: bar.total)
    everything = sum((bar.total for bar in bars), Decimal())
    return (
        f"{money(everything)} in {len(bars)} {unit}s; the dearest {unit} was {highest.title} "
        f"with {money(highest.total)}."
    )
