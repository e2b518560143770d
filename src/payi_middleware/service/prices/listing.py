"""Lists of categories, resources and versions: the catalogue's and an application's own, as one."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from decimal import Decimal

from sqlalchemy import Connection

from payi_middleware.listing_names import listed_name, provider_of
from payi_middleware.service.store import clock

from . import own
from .editions import Editions
from .model import EVER, Model
from .own import OwnVersion, Pair
from .price_list import PriceList, Prices
from .resource import Resource

__all__ = ["Listed", "categories", "main", "of_own", "resource_names", "shown_units", "threshold", "versions"]


@dataclass(frozen=True, slots=True)
class Listed:
    """A version of a resource.

    Args:
        resource: its prices.
        start, end: from when on it holds, and until when if that is known.
        active: it prices what happens now.
        own: it is the application's, not the catalogue's.
        description: of the model, in a few words.
        aliased_resource: the name under which the catalogue lists it, if that is another one.
        max_input_units, max_output_units, max_total_units: what a request may have at most.
    """

    resource: Resource
    start: datetime
    end: datetime | None
    active: bool
    own: bool
    description: str | None = None
    aliased_resource: str | None = None
    max_input_units: int | None = None
    max_output_units: int | None = None
    max_total_units: int | None = None


def categories(connection: Connection, application_id: int, prices: Prices) -> dict[str, bool]:
    """Return the categories by name, and whether something of each has a price now."""
    now = clock.now()
    found = dict.fromkeys(_prices(connection, application_id, prices).catalogue.newest().categories, True)
    for pair, own_versions in own.of_category(connection, application_id).items():
        holds = own.in_force(own_versions, now) is not None
        found[pair.category] = found.get(pair.category, False) or holds
    return found


def resource_names(connection: Connection, application_id: int, prices: Prices, category: str) -> dict[str, bool]:
    """Return a category's resources by name, and whether each has a price now; nothing if there is no such category."""
    now = clock.now()
    found = dict.fromkeys(_prices(connection, application_id, prices).catalogue.newest().resources(category), True)
    for pair, own_versions in own.of_category(connection, application_id, category).items():
        holds = own.in_force(own_versions, now) is not None
        found[pair.resource] = found.get(pair.resource, False) or holds
    return found


def versions(
    connection: Connection, application_id: int, prices: Prices, category: str, resources: Sequence[str]
) -> dict[str, list[Listed]]:
    """Return the versions of resources by name, the oldest first; nothing of a resource that has none."""
    now = clock.now()
    pairs = [Pair(category, resource) for resource in resources]
    price_list = _prices(connection, application_id, prices, pairs)
    return {pair.resource: found for pair in pairs if (found := _versions(price_list, pair, now))}


def _prices(connection: Connection, application_id: int, prices: Prices, pairs: Sequence[Pair] = ()) -> PriceList:
    return prices.current(connection, application_id, prices.of(application_id, pairs), pairs)


def _versions(prices: PriceList, pair: Pair, now: datetime) -> list[Listed]:
    mine = prices.own.get(pair, ())
    in_force = own.in_force(mine, now)
    priced = prices.find(pair.category, pair.resource, None, now)
    active = None if priced is None else priced.resource_id
    before = mine[0].start if mine else None
    theirs = [
        replace(
            listed, active=in_force is None and listed.resource.resource_id == active, end=_earlier(listed.end, before)
        )
        for listed in _of_catalogue(prices.catalogue, pair)
        if before is None or listed.start < before
    ]
    return [*theirs, *of_own(mine, now)]


def main(versions: Sequence[Listed]) -> Listed:
    """Return the version that prices what happens now, else the last one."""
    return next((listed for listed in reversed(versions) if listed.active), versions[-1])


def of_own(versions: Sequence[OwnVersion], now: datetime) -> list[Listed]:
    """Return an application's own versions of a resource."""
    in_force = own.in_force(versions, now)
    return [
        Listed(version.resource, version.start, version.end, version is in_force, True, None, None, *version.maxima)
        for version in versions
    ]


def _of_catalogue(editions: Editions, pair: Pair) -> list[Listed]:
    """Return the versions that the catalogue has, by all its editions: each id once, and over all its time."""
    found: dict[str, Listed] = {}
    for start, end, model in _windows(editions, pair):
        for span, resource in model.versions():
            begins, ends = max(start, span.start), _earlier(end, span.end)
            if ends is not None and begins >= ends:
                continue
            known = found.get(resource.resource_id)
            if known is None:
                found[resource.resource_id] = _listed(model, resource, begins, ends)
            else:
                found[resource.resource_id] = replace(known, end=None if ends is None else max(ends, known.end or ends))
    return sorted(found.values(), key=lambda listed: listed.start)


def _windows(editions: Editions, pair: Pair) -> Iterable[tuple[datetime, datetime | None, Model]]:
    """Yield from when to when a model's prices are those of one edition, as `Editions.find` has it."""
    known = editions.known()
    for place, (effective, _) in enumerate(known):
        newer = (catalogue.find(*pair) for _, catalogue in known[place:])
        if (model := next((model for model in newer if model is not None), None)) is not None:
            end = known[place + 1][0] if place + 1 < len(known) else None
            yield effective if place else EVER, end, model


def _listed(model: Model, resource: Resource, start: datetime, end: datetime | None) -> Listed:
    info = model.info
    listed = listed_name(provider_of(resource.category), info.id)
    return Listed(
        resource,
        start,
        end,
        active=False,
        own=False,
        description=info.name,
        aliased_resource=listed if listed != resource.name else None,
        max_input_units=info.context_window,
    )


def _earlier(one: datetime | None, other: datetime | None) -> datetime | None:
    return min((moment for moment in (one, other) if moment is not None), default=None)


def shown_units(resource: Resource) -> Mapping[str, dict[str, Decimal]]:
    """Return prices by unit as Pay-i's answers have them: those above a large context's threshold are units more."""
    shown: dict[str, dict[str, Decimal]] = {}
    for unit, rates in resource.rates.items():
        sides = [(side, rate) for side, rate in zip(("input_price", "output_price"), rates, strict=True) if rate]
        shown[unit] = {side: rate.base for side, rate in sides}
        if large := {side: rate.tiers[0][1] for side, rate in sides if rate.tiers}:
            shown[f"{unit}_large_context"] = {side: large.get(side, rate.base) for side, rate in sides}
    return shown


def threshold(resource: Resource) -> int | None:
    """Return the input tokens above which a request's prices are those of its large context units."""
    starts = [rate.tiers[0][0] for rates in resource.rates.values() for rate in rates if rate and rate.tiers]
    return min(starts, default=None)
