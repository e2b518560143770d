"""A model of the catalogue: its prices at any time, and the versions of them by date."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator, Sequence
from datetime import UTC, date, datetime, time, timedelta
from typing import TYPE_CHECKING, NamedTuple

from .rates import unit_rates
from .resource import Resource, stable_id
from .tiers import CONTEXTS

if TYPE_CHECKING:
    from genai_prices.types import ConditionalPrice, ModelInfo, PriceVariant

__all__ = ["EVER", "Model", "Span"]

EVER = datetime(1970, 1, 1, tzinfo=UTC)
"""When prices began that the catalogue gives no beginning of."""


class Span(NamedTuple):
    """For how long a version of prices holds: from `start` to before `end`, or for good; `at` is a time within.

    Prices that change with the time of day share their span.
    """

    start: datetime
    end: datetime | None
    at: datetime


class Model:
    """A model under the name an event gave it; each version of its prices is worked out once.

    Args:
        category, name: as the event named them.
        provider: the catalogue's id of whose prices these are.
        info: the catalogue's model.
        has_tiers: its prices in service tiers hold here; they do not where another provider offers the model.
        warnings: see `Resource`.
    """

    def __init__(
        self,
        category: str,
        name: str,
        provider: str,
        info: ModelInfo,
        *,
        has_tiers: bool = True,
        warnings: tuple[str, ...] = (),
    ) -> None:
        self.info = info
        self.name = name
        self._category = category
        self._provider = provider
        self._has_tiers = has_tiers
        self._warnings = warnings
        self._starts, self._hours = _boundaries(info)
        self._versions: dict[tuple[int, int], Resource] = {}

    def at(self, at: datetime) -> Resource:
        """Return the prices in force at a time, in UTC."""
        place = bisect_right(self._starts, at) if self._starts else 0
        hour = bisect_right(self._hours, at.time()) if self._hours else 0
        return self._versions.get((place, hour)) or self._versions.setdefault((place, hour), self._resource(at))

    def _resource(self, at: datetime) -> Resource:
        info = self.info
        tiers = {tier: info.get_prices(at, context) for tier, context in CONTEXTS.items() if self._has_tiers}
        rates = unit_rates(info.get_prices(at), self._provider, info.id, tiers)
        resource_id = stable_id(self._category, self.name, rates)
        return Resource(resource_id, self._category, self.name, rates, self._warnings)

    def versions(self) -> Iterator[tuple[Span, Resource]]:
        """Yield the versions of its prices, the oldest first."""
        hours = [time(0), *self._hours]
        for place in range(len(self._starts) + 1):
            start = self._starts[place - 1] if place else EVER
            end = self._starts[place] if place < len(self._starts) else None
            seen: dict[str, Resource] = {}
            for hour in hours:
                at = start + timedelta(hours=hour.hour, minutes=hour.minute, seconds=hour.second)
                resource = self.at(at)
                if resource.resource_id not in seen:
                    seen[resource.resource_id] = resource
                    yield Span(start, end, at), resource


def _boundaries(info: ModelInfo) -> tuple[list[datetime], list[time]]:
    """Return when a model's prices may change: the days, and the times of each day. All are UTC."""
    priced: Sequence[ConditionalPrice | PriceVariant] = [
        *(info.prices if isinstance(info.prices, list) else ()),
        *(info.price_variants or ()),
    ]
    starts: set[datetime] = set()
    hours: set[time] = set()
    for one in priced:
        constraint = one.constraint
        if constraint is None:
            continue
        if isinstance(begins := getattr(constraint, "start_date", None), date):
            starts.add(datetime(begins.year, begins.month, begins.day, tzinfo=UTC))
        else:
            hours |= {_utc(getattr(constraint, side)) for side in ("start_time", "end_time")}
    return sorted(starts), sorted(hours)


def _utc(moment: time) -> time:
    return datetime.combine(date(2000, 1, 1), moment, moment.tzinfo or UTC).astimezone(UTC).time()
