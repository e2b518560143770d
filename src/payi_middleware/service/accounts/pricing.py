"""Pricing events before they are booked, and once more if prices changed in between."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import Connection

from payi_middleware.service.prices.own import Pair
from payi_middleware.service.prices.price_list import PriceList, Prices

from .booking import Priced, price
from .events import Event

__all__ = ["Pricing"]


class Pricing:
    """Events of an application, priced while nobody waits for a lock.

    Args:
        prices: of all applications.
        application_id: whose events these are.
        events: to be priced.
    """

    def __init__(self, prices: Prices, application_id: int, events: Sequence[Event]) -> None:
        self.application_id = application_id
        self._prices = prices
        self._events = events
        self._pairs = {Pair(event.category, event.resource) for event in events if event.resource is not None}
        self._list = prices.of(application_id, self._pairs)
        self._priced = _price(self._list, events)

    def current(self, connection: Connection) -> list[Priced]:
        """Return what the events cost by the prices that a transaction sees."""
        now = self._prices.current(connection, self.application_id, self._list, self._pairs)
        return self._priced if now is self._list else _price(now, self._events)


def _price(prices: PriceList, events: Sequence[Event]) -> list[Priced]:
    return [
        price(event, prices.find(event.category, event.resource, event.scope, event.event_timestamp))
        for event in events
    ]
