"""How amounts, counts, times and ids are written for people."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta
from decimal import ROUND_HALF_EVEN, Decimal

from payi_middleware.service.store import clock

__all__ = [
    "ago",
    "change",
    "count",
    "duration",
    "moment",
    "money",
    "number",
    "percent",
    "places_for",
    "shortened",
]

_NOTHING = "\N{EN DASH}"
_CENTS = 2
_MOST_PLACES = 10
_SIGNIFICANT = 3
_ERROR = Decimal("0.05")
"""How much of an amount may be lost for the sake of a column's decimals."""
_MINUS = "\N{MINUS SIGN}"
_AGES = ((86_400, "day"), (3_600, "h"), (60, "min"), (1, "s"))


def places_for(amounts: Iterable[Decimal]) -> int:
    """Return how many decimals amounts of one column are written with: cents, or what the largest one needs."""
    largest = max((abs(amount) for amount in amounts), default=Decimal())
    return _CENTS if not largest or largest >= 1 else min(_MOST_PLACES, _SIGNIFICANT - 1 - largest.adjusted())


def money(usd: Decimal | None, places: int | None = None) -> str:
    """Write USD; what is too little for the places is written with those that it needs."""
    if usd is None:
        return _NOTHING
    if not usd:
        return "$0"
    needed = places_for([usd])
    places = needed if places is None else places
    rounded = usd.quantize(Decimal(1).scaleb(-places), ROUND_HALF_EVEN)
    if abs(rounded - usd) > abs(usd) * _ERROR:
        rounded = usd.quantize(Decimal(1).scaleb(-needed), ROUND_HALF_EVEN)
        if not rounded:
            return f"<${Decimal(1).scaleb(-_MOST_PLACES):f}"
    sign = _MINUS if rounded < 0 else ""
    return f"{sign}${abs(rounded):,f}"


def count(number: int | None) -> str:
    """Write a count."""
    return _NOTHING if number is None else f"{number:,}"


def number(value: Decimal | float | None) -> str:
    """Write a number without zeros at its end."""
    if value is None:
        return _NOTHING
    return f"{value:.3f}".rstrip("0").rstrip(".")


def percent(fraction: float | None, places: int = 1) -> str:
    """Write a fraction as a percentage."""
    if fraction is None:
        return _NOTHING
    if 0 < fraction < 0.1**places / 100:
        return f"<{0.1**places:.{places}f}%"
    return f"{fraction * 100:.{places}f}%"


def change(now: Decimal | float, before: Decimal | float) -> float | None:
    """Return by which fraction something has grown; None where there was nothing before."""
    if not before:
        return None if now else 0.0
    return float(now) / float(before) - 1


def duration(milliseconds: float | None) -> str:
    """Write a time span."""
    if milliseconds is None:
        return _NOTHING
    if milliseconds < 1_000:
        return f"{milliseconds:.0f} ms"
    if milliseconds < 60_000:
        return f"{milliseconds / 1_000:.2f} s"
    minutes, seconds = divmod(round(milliseconds / 1_000), 60)
    return f"{minutes} min {seconds:02d} s"


def moment(stored: int | datetime, *, seconds: bool = True) -> str:
    """Write a time in UTC."""
    told = clock.from_micros(stored) if isinstance(stored, int) else stored
    return f"{told:%Y-%m-%d %H:%M:%S}" if seconds else f"{told:%Y-%m-%d %H:%M}"


def ago(stored: int, now: datetime) -> str:
    """Write how long ago something was."""
    passed = now - clock.from_micros(stored)
    if passed < timedelta(seconds=1):
        return "just now"
    seconds = int(passed.total_seconds())
    size, unit = next((size, unit) for size, unit in _AGES if seconds >= size)
    number = seconds // size
    return f"{number} {unit}{'s' if unit == 'day' and number > 1 else ''} ago"


def shortened(text: str, longest: int = 28) -> str:
    """Take the middle out of a text that is too long: its ends tell it from others."""
    if len(text) <= longest:
        return text
    tail = (longest - 1) // 2
    return f"{text[: longest - 1 - tail]}…{text[-tail:]}"
