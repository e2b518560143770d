"""Pricing events before they are booked, and once more if prices changed in between."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from sqlalchemy import Connection

from payi_middleware.service.prices.own import Pair
from payi_middleware.service.prices.price_list import PriceList, Prices, ask_stamp
from payi_middleware.service.prices.resource import Resource
from payi_middleware.service.prices.tiers import is_summed, tier_of
from payi_middleware.service.store.money import Amount
from payi_middleware.service.store.reading import Reads, Rows
from payi_middleware.service.units import Counts, as_json

from .columns import columns_of
from .events import Event

__all__ = ["Priced", "Pricing"]


class Priced(NamedTuple):
    """An event and what it cost, in quanta; `resource` is None where no price is known.

    `tier` is the service tier that it was served in, unless that is the standard one; `columns` are those of a request
    that come of its price.
    """

    event: Event
    resource: Resource | None
    input_cost: int
    output_cost: int
    unknown: dict[str, Counts]
    tier: str | None
    columns: dict[str, Any]


class Pricing:
    """Events of an application, priced while nobody waits for a lock.

    Args:
        prices: of all applications.
        application_id: whose events these are.
        events: to be priced.
    """

    def __init__(self, prices: Prices, application_id: int, events: Sequence[Event]) -> None:
        self.application_id = application_id
        self.events = events
        self._prices = prices
        self._pairs = {Pair(event.category, event.resource) for event in events if event.resource is not None}
        self._list = prices.of(application_id, self._pairs)
        self._priced = _price_all(self._list, events)
        self._stamped: Rows = []

    def ask(self, reads: Reads) -> None:
        """Ask whether prices have changed since; before anything else, as what is read next may be of later."""
        self._stamped = ask_stamp(reads, self.application_id)

    def current(self, connection: Connection) -> list[Priced]:
        """Return what the events cost by the prices that a transaction sees, once `ask` is answered."""
        now = self._prices.current(connection, self.application_id, self._list, self._pairs, self._stamped)
        return self._priced if now is self._list else _price_all(now, self.events)


def _price_all(prices: PriceList, events: Sequence[Event]) -> list[Priced]:
    return [
        _price(event, prices.find(event.category, event.resource, event.scope, event.event_timestamp))
        for event in events
    ]


def _price(event: Event, resource: Resource | None) -> Priced:
    """Price an event by the resource that was in force at its time; without one it costs nothing."""
    columns_of(event)  # now, when nobody waits for it
    input_cost = output_cost = 0
    unknown: dict[str, Counts] = {}
    tier = None
    if resource is None:
        unknown = {} if event.blocked_by else dict(event.units)
    elif not event.blocked_by:
        tier = tier_of(event.properties)
        (input_cost, output_cost), unknown = resource.charge(
            event.units, tier=tier, succeeded=not event.failed, summed=is_summed(event.properties)
        )
    columns: dict[str, Any] = {
        "resource_id": resource.resource_id if resource else None,
        "unknown_units": as_json(unknown) if unknown else None,
    }
    columns["input_cost_micros"], columns["input_cost_rest"] = Amount.of(input_cost)
    columns["output_cost_micros"], columns["output_cost_rest"] = Amount.of(output_cost)
    return Priced(event, resource, input_cost, output_cost, unknown, tier, columns)
