"""One application's books at one moment: everything that a page reads of them fits together."""

from __future__ import annotations

from collections.abc import Iterable
from functools import cached_property

from sqlalchemy import ColumnElement, Connection, select

from payi_middleware.service.prices.price_list import Prices
from payi_middleware.service.store.names import NONE, Kind, texts
from payi_middleware.service.store.schema import batches, requests

__all__ = ["View"]

_LISTED = 1_000
"""Transactions that are named one by one: a database that has to guess how many there are may read everything."""


class View:
    """What a page reads from.

    Args:
        connection: one that sees one state only (`Ledger.snapshot`), as sums may move from the requests into the
            rollups between two statements.
        application_id: whose books.
        prices: what things cost.
    """

    def __init__(self, connection: Connection, application_id: int, prices: Prices) -> None:
        self.connection = connection
        self.application_id = application_id
        self.prices = prices

    @cached_property
    def unfolded(self) -> ColumnElement[bool] | None:
        """What holds for requests that are not in the rollups yet; None if all are."""
        own = select(batches.c.batch).where(batches.c.application_id == self.application_id)
        first = list(self.connection.scalars(own.limit(_LISTED + 1)))
        if len(first) > _LISTED:
            return requests.c.batch.in_(own)
        return requests.c.batch.in_(first) if first else None

    def names(self, kind: Kind, keys: Iterable[int]) -> dict[int, str | None]:
        """Return the names that keys stand for; None for the key of no name."""
        asked = set(keys)
        found: dict[int, str | None] = dict(texts(self.connection, self.application_id, kind, asked - {NONE}))
        return {key: found.get(key) for key in asked}
