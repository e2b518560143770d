"""Which days or hours a page is about, and those before them. All of them are UTC's."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Self

from payi_middleware.service.store import clock

__all__ = ["DEFAULT", "PRESETS", "Period", "PeriodError", "period_of"]

PRESETS = {"24h": "24 hours", "7d": "7 days", "30d": "30 days", "90d": "90 days"}
DEFAULT = "30d"
_CUSTOM = "custom"
_LONGEST = 366
_HOURS = 24
_EPOCH = date(1970, 1, 1)


class PeriodError(ValueError):
    """A period that a URL asks for is none; the message says why."""


@dataclass(frozen=True, slots=True)
class Period:
    """Hours since 1970, from `begin` to before `end`.

    Args:
        name: one of `PRESETS`, or "custom".
        step: how many hours a bar of a chart stands for: 1 or 24.
    """

    name: str
    begin: int
    end: int
    step: int

    @property
    def before(self) -> Self:
        """The period of the same length that comes before."""
        return type(self)(self.name, self.begin - (self.end - self.begin), self.begin, self.step)

    @property
    def buckets(self) -> range:
        """The first hour of each bar of a chart."""
        return range(self.begin, self.end, self.step)

    @property
    def micros(self) -> tuple[int, int]:
        """Begin and end in microseconds since 1970."""
        return self.begin * clock.HOUR, self.end * clock.HOUR

    @property
    def first_day(self) -> date:
        """The first day."""
        return _EPOCH + timedelta(hours=self.begin)

    @property
    def last_day(self) -> date:
        """The last day."""
        return _EPOCH + timedelta(hours=self.end - 1)

    @property
    def title(self) -> str:
        """What it is called, after the word "last" where it is a preset."""
        if self.name in PRESETS:
            return f"Last {PRESETS[self.name]}"
        if self.first_day == self.last_day:
            return f"{self.first_day:%-d %b %Y}"
        return f"{self.first_day:%-d %b %Y} \N{EN DASH} {self.last_day:%-d %b %Y}"

    @property
    def length(self) -> str:
        """How long it is, in words."""
        if self.step == 1:
            return PRESETS["24h"]
        days = (self.end - self.begin) // _HOURS
        return "day" if days == 1 else f"{days} days"

    @property
    def query(self) -> dict[str, str]:
        """The query parameters that ask for it; none for the usual one."""
        if self.name == DEFAULT:
            return {}
        if self.name in PRESETS:
            return {"period": self.name}
        return {"period": _CUSTOM, "from": self.first_day.isoformat(), "to": self.last_day.isoformat()}


def period_of(query: Mapping[str, str], now: datetime) -> Period:
    """Read the period that a page is asked for.

    Args:
        query: `period`, one of `PRESETS`; or `from` and `to`, both days included.

    Raises:
        PeriodError: it is none.
    """
    name = query.get("period") or (_CUSTOM if query.get("from") or query.get("to") else DEFAULT)
    hour = clock.micros(now) // clock.HOUR
    tomorrow = hour - hour % _HOURS + _HOURS
    if name == "24h":
        return Period(name, hour - _HOURS + 1, hour + 1, 1)
    if name in PRESETS:
        return Period(name, tomorrow - int(name.removesuffix("d")) * _HOURS, tomorrow, _HOURS)
    if name != _CUSTOM:
        raise PeriodError(f"period is one of {', '.join([*PRESETS, _CUSTOM])}")
    today = now.astimezone(UTC).date()
    last = _day("to", query.get("to"), today)
    first = _day("from", query.get("from"), last)
    if last < first:
        raise PeriodError("from has to come before to")
    if (last - first).days >= _LONGEST:
        raise PeriodError(f"from and to are {_LONGEST} days apart at most")
    return Period(_CUSTOM, (first - _EPOCH).days * _HOURS, ((last - _EPOCH).days + 1) * _HOURS, _HOURS)


def _day(name: str, text: str | None, default: date) -> date:
    if not text:
        return default
    try:
        day = date.fromisoformat(text)
    except ValueError as error:
        raise PeriodError(f"{name} is a day, such as {default.isoformat()}") from error
    if not _EPOCH.year < day.year < 9999:
        raise PeriodError(f"{name} is a day between 1971 and 9998")
    return day
