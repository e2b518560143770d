"""Prices for those who book: an application's own resources before the catalogue, kept in memory and never stale.

What was read is kept with a stamp: how many editions of the catalogue there were, and how often the application's
resources had been changed. A booking transaction reads the stamp (one look-up); if another process has changed prices
since, they are read again and the events priced anew, within that transaction. So an event that is sent after a change
was answered is priced by it, in every process.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from functools import partial
from typing import NamedTuple

from sqlalchemy import Connection, bindparam, func, select

from payi_middleware.service.store.engine import Store
from payi_middleware.service.store.reading import Reads, Rows
from payi_middleware.service.store.schema import catalogues, price_revisions

from . import editions, own
from .editions import Editions
from .own import OwnVersion, Pair
from .resource import Resource

__all__ = ["PriceList", "Prices", "Stamp", "ask_stamp"]

_MOST = 4096
"""Names of an application that are remembered, whether it has resources of its own for them or not."""
_STAMP = select(
    select(func.count()).select_from(catalogues).scalar_subquery().label("editions"),
    select(price_revisions.c.revision)
    .where(price_revisions.c.application_id == bindparam("application"))
    .scalar_subquery()
    .label("revision"),
)


class Stamp(NamedTuple):
    """What tells one state of an application's prices from another."""

    editions: int
    revision: int


class PriceList:
    """An application's prices as they were at one time.

    Args:
        stamp: of that time.
        catalogue: the editions.
        own: the application's resources, of the names that were asked for.
    """

    def __init__(self, stamp: Stamp, catalogue: Editions, own: Mapping[Pair, tuple[OwnVersion, ...]]) -> None:
        self.stamp = stamp
        self.catalogue = catalogue
        self.own = own

    def missing(self, pairs: Iterable[Pair]) -> set[Pair]:
        """Return the names of which it is not known whether the application has resources."""
        return {pair for pair in pairs if pair not in self.own}

    def find(self, category: str, resource: str | None, scope: str | None, at: datetime) -> Resource | None:
        """Return what prices an event, or None if nothing does.

        Args:
            category, resource, scope: as the event names them.
            at: when it happened, in UTC.
        """
        if resource is None:
            return None
        versions = self.own.get(Pair(category, resource))
        if versions and (version := own.in_force(versions, at)) is not None:
            return version.resource
        return self.catalogue.find(category, resource, scope, at)

    def find_again(
        self, resource_id: str, category: str, resource: str, scope: str | None, at: datetime
    ) -> Resource | None:
        """Return what an event was priced by, whatever prices its time now; None if that is not known any more.

        Args:
            resource_id: which version it was.
            category, resource, scope, at: see `find`.
        """
        for version in self.own.get(Pair(category, resource), ()):
            if version.resource.resource_id == resource_id:
                return version.resource
        found = self.catalogue.find(category, resource, scope, at)
        return found if found is not None and found.resource_id == resource_id else None


class Prices:
    """The prices of all applications in a database.

    Args:
        store: the database.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self._lists: dict[int, PriceList] = {}

    def of(self, application_id: int, pairs: Iterable[Pair] = ()) -> PriceList:
        """Return an application's prices, with what it has of these names; they may be of a moment ago."""
        known = self._lists.get(application_id)
        wanted = set(pairs)
        if known is not None and not known.missing(wanted):
            return known
        return self._store.read(lambda connection: self._read(connection, application_id, wanted))

    def current(
        self,
        connection: Connection,
        application_id: int,
        of: PriceList,
        pairs: Iterable[Pair],
        stamped: Rows | None = None,
    ) -> PriceList:
        """Return an application's prices as they are in a transaction: `of` itself if that is still how they are.

        Args:
            connection: the transaction.
            application_id: whose prices.
            of: the prices that are known.
            pairs: what is to be priced.
            stamped: what came of `ask_stamp` in that transaction, where it has been asked for already.
        """
        now = _stamp(connection, application_id) if stamped is None else _stamp_of(stamped)
        return of if now == of.stamp else self._read(connection, application_id, pairs)

    def _read(self, connection: Connection, application_id: int, pairs: Iterable[Pair]) -> PriceList:
        # First of all: what changes after this is seen by whoever compares stamps.
        stamp = _stamp(connection, application_id)
        known = self._lists.get(application_id)
        kept: Mapping[Pair, tuple[OwnVersion, ...]] = {}
        if known is not None and known.stamp == stamp and len(known.own) < _MOST:
            kept = known.own
        wanted = {pair for pair in pairs if pair not in kept}
        found = own.of_pairs(connection, application_id, wanted) if wanted else {}
        catalogue = self._catalogue(connection, stamp.editions)
        read = PriceList(stamp, catalogue, {**kept, **dict.fromkeys(wanted, ()), **found})
        self._lists[application_id] = read
        return read

    def _catalogue(self, connection: Connection, count: int) -> Editions:
        for known in self._lists.values():
            if len(known.catalogue.editions) == count:
                return known.catalogue
        return Editions(editions.read(connection), partial(_data_of, self._store))


def ask_stamp(reads: Reads, application_id: int) -> Rows:
    """Ask by what an application's prices can be told from those of another time; see `Prices.current`."""
    return reads.ask(_STAMP, {"application": application_id})


def _stamp(connection: Connection, application_id: int) -> Stamp:
    reads = Reads(connection)
    stamped = ask_stamp(reads, application_id)
    reads.send()
    return _stamp_of(stamped)


def _stamp_of(rows: Rows) -> Stamp:
    return Stamp(rows[0]["editions"], rows[0]["revision"] or 0)


def _data_of(store: Store, catalogue_id: str) -> bytes:
    return store.read(lambda connection: editions.data_of(connection, catalogue_id))
