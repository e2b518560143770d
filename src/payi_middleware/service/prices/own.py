"""An application's own resources: what it says that things cost. They come before the catalogue's.

A resource has versions, each from its start on. What prices an event is the version with the latest start that is not
after the event; of two with one start, the one that was made later.
"""

from __future__ import annotations

import uuid
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any, NamedTuple

from sqlalchemy import Connection, RowMapping, Select, func, select, tuple_, update

from payi_middleware.service.store import clock
from payi_middleware.service.store.schema import price_revisions, resources
from payi_middleware.service.store.writing import portions, upsert

from .rates import Rate, UnitRates
from .resource import Resource

__all__ = ["NewResource", "OwnVersion", "Pair", "create", "delete", "in_force", "of_category", "of_pairs"]

MOST_USD = Decimal(1_000_000)
"""The highest price of a single unit."""


class Pair(NamedTuple):
    """What a resource is called."""

    category: str
    resource: str


@dataclass(frozen=True, slots=True, kw_only=True)
class NewResource:
    """A version of a resource that is to be made, checked.

    Args:
        units: prices of input and output of a single unit, in USD; None where it has none.
        start: from when on it holds.
        max_input_units, max_output_units, max_total_units: what a request may have at most; for the record only.
    """

    pair: Pair
    units: Mapping[str, tuple[Decimal | None, Decimal | None]]
    start: datetime
    max_input_units: int | None = None
    max_output_units: int | None = None
    max_total_units: int | None = None


@dataclass(frozen=True, slots=True)
class OwnVersion:
    """A version of a resource, as it is stored.

    Args:
        start, end: from when on and until when it holds; what was made later may hold in between instead.
        maxima: `max_input_units`, `max_output_units`, `max_total_units`.
    """

    pair: Pair
    resource: Resource
    start: datetime
    end: datetime | None
    maxima: tuple[int | None, int | None, int | None]


def create(connection: Connection, application_id: int, new: NewResource, now: datetime) -> OwnVersion:
    """Make a version of a resource, and return it."""
    columns = resources.c
    same = columns.application_id == application_id, columns.category == new.pair.category
    newest = connection.scalar(
        select(func.max(columns.created_timestamp)).where(*same, columns.resource == new.pair.resource)
    )
    row = {
        "application_id": application_id,
        "category": new.pair.category,
        "resource": new.pair.resource,
        "resource_id": str(uuid.uuid4()),
        "units": {unit: [_text(price) for price in prices] for unit, prices in new.units.items()},
        "max_input_units": new.max_input_units,
        "max_output_units": new.max_output_units,
        "max_total_units": new.max_total_units,
        "start_timestamp": clock.micros(new.start),
        # Those made in one microsecond have an order, too.
        "created_timestamp": max(clock.micros(now), (newest or 0) + 1),
        "deleted_timestamp": None,
    }
    connection.execute(resources.insert(), row)
    _changed(connection, application_id)
    versions = of_pairs(connection, application_id, [new.pair])[new.pair]
    return next(version for version in versions if version.resource.resource_id == row["resource_id"])


def delete(
    connection: Connection, application_id: int, category: str, resource: str | None = None, version: str | None = None
) -> list[OwnVersion]:
    """Delete the versions of a category, of one of its resources or a single one, and return them.

    What was booked with them stays; they price nothing more.
    """
    query = _live(application_id).where(resources.c.category == category)
    if resource is not None:
        query = query.where(resources.c.resource == resource)
    gone = [own for versions in _versions(connection, query).values() for own in versions]
    if version is not None:
        gone = [own for own in gone if own.resource.resource_id == version]
    for portion in portions([own.resource.resource_id for own in gone]):
        connection.execute(
            update(resources)
            .where(resources.c.application_id == application_id, resources.c.resource_id.in_(portion))
            .values(deleted_timestamp=clock.micros(clock.now()))
        )
    if gone:
        _changed(connection, application_id)
    return gone


def of_pairs(
    connection: Connection, application_id: int, pairs: Collection[Pair]
) -> dict[Pair, tuple[OwnVersion, ...]]:
    """Return the versions of resources, the oldest start first; nothing of those that there are none of."""
    found: dict[Pair, tuple[OwnVersion, ...]] = {}
    for portion in portions(sorted(pairs), each=2):
        named = tuple_(resources.c.category, resources.c.resource).in_(portion)
        found.update(_versions(connection, _live(application_id).where(named)))
    return found


def of_category(
    connection: Connection, application_id: int, category: str | None = None
) -> dict[Pair, tuple[OwnVersion, ...]]:
    """Return the versions of all resources of a category, or of all categories."""
    query = _live(application_id)
    return _versions(connection, query if category is None else query.where(resources.c.category == category))


def in_force(versions: Sequence[OwnVersion], at: datetime) -> OwnVersion | None:
    """Return the version that holds at a time."""
    return next((version for version in reversed(versions) if version.start <= at), None)


def _live(application_id: int) -> Select[Any]:
    return select(resources).where(
        resources.c.application_id == application_id, resources.c.deleted_timestamp.is_(None)
    )


def _changed(connection: Connection, application_id: int) -> None:
    adding = upsert(connection.dialect.name, price_revisions).values(application_id=application_id, revision=1)
    more = {"revision": price_revisions.c.revision + 1}
    connection.execute(adding.on_conflict_do_update(index_elements=["application_id"], set_=more))


def _versions(connection: Connection, query: Select[Any]) -> dict[Pair, tuple[OwnVersion, ...]]:
    columns = resources.c
    order = (columns.category, columns.resource, columns.start_timestamp, columns.created_timestamp)
    of: dict[Pair, list[RowMapping]] = {}
    for row in connection.execute(query.order_by(*order, columns.resource_id)).mappings():
        of.setdefault(Pair(row["category"], row["resource"]), []).append(row)
    return {pair: tuple(_parsed(pair, rows)) for pair, rows in of.items()}


def _parsed(pair: Pair, rows: Sequence[RowMapping]) -> Iterable[OwnVersion]:
    for place, row in enumerate(rows):
        rates = {unit: UnitRates(*(_rate(price) for price in prices)) for unit, prices in row["units"].items()}
        resource = Resource(row["resource_id"], pair.category, pair.resource, rates)
        start = row["start_timestamp"]
        later = next((after["start_timestamp"] for after in rows[place + 1 :]), None)
        yield OwnVersion(
            pair,
            resource,
            clock.from_micros(start),
            None if later is None else clock.from_micros(later),
            (row["max_input_units"], row["max_output_units"], row["max_total_units"]),
        )


def _text(price: Decimal | None) -> str | None:
    return None if price is None else f"{price:f}"


def _rate(price: str | None) -> Rate | None:
    return None if price is None else Rate(Decimal(price))
