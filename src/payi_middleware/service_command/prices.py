"""What `payi-middleware prices` does."""

from __future__ import annotations

import sys
from argparse import Namespace
from collections.abc import Iterator
from datetime import datetime
from decimal import Decimal

from payi_middleware.service.accounts import applications, rollups
from payi_middleware.service.errors import LedgerError
from payi_middleware.service.ledger import Ledger
from payi_middleware.service.prices import listing
from payi_middleware.service.prices.listing import Listed
from payi_middleware.service.prices.own import Pair
from payi_middleware.service.prices.resource import Resource
from payi_middleware.service.store import clock
from payi_middleware.service.store.money import exact, plain

from .fetching import FetchError, fetched, read_file

__all__ = ["prices"]

_MILLION = 1_000_000


def prices(arguments: Namespace) -> int:
    """Update, show or list prices.

    Returns:
        0 if that was done, 1 if not.
    """
    try:
        with Ledger(arguments.db) as ledger:
            if arguments.action == "update":
                return _update(ledger, arguments)
            application_id = ledger.read(lambda connection, _: applications.find(connection, arguments.application))
            if application_id is None:
                return _fail(f"there is no application named {arguments.application}")
            action = {"show": _show, "list": _list, "unknown": _unknown}[arguments.action]
            return action(ledger.of(application_id), arguments)
    except (LedgerError, FetchError) as error:
        return _fail(str(error))


def _fail(problem: str) -> int:
    print(f"payi-middleware prices: {problem}", file=sys.stderr)
    return 1


def _update(ledger: Ledger, arguments: Namespace) -> int:
    data = read_file(arguments.file) if arguments.file else fetched(arguments.url)
    before = ledger.prices.of(ledger.application_id).catalogue.newest()
    try:
        update = ledger.add_prices(data)
    except ValueError:
        return _fail(
            f"{arguments.file or arguments.url or 'what came'} is no price list of genai-prices; it has no use"
        )
    if update is None:
        print("The prices are up to date.")
        return 0
    edition, catalogue = update
    new = changed = count = 0
    for category in catalogue.categories:
        for name, model in catalogue.resources(category).items():
            known = before.find(category, name)
            count += 1
            new += known is None
            changed += known is not None and _id(known.at(edition.effective)) != _id(model.at(edition.effective))
    print(f"{count} resources, {new} of them new and {changed} with other prices, hold from", end=" ")
    print(clock.as_text(edition.effective))
    return 0


def _id(resource: Resource) -> str:
    return resource.resource_id


def _show(ledger: Ledger, arguments: Namespace) -> int:
    at: datetime = arguments.date or clock.now()
    category, name = arguments.category, arguments.resource
    found = ledger.prices.of(ledger.application_id, [Pair(category, name)]).find(category, name, arguments.scope, at)
    if found is None:
        return _fail(
            f"{category}/{name} has no price at {clock.as_text(at)}; see payi-middleware prices list {category}"
        )
    versions = ledger.read(listing.versions, ledger.prices, category, [name]).get(name, [])
    version = next((listed for listed in versions if listed.resource.resource_id == found.resource_id), None)
    print(f"{category}/{name}\t{_source(version)}\t{found.resource_id}")
    for warning in found.warnings:
        print(f"warning: {warning}", file=sys.stderr)
    print("unit\tinput, USD per million\toutput, USD per million")
    for unit, sides in _shown(found):
        print("\t".join([unit, *sides]))
    return 0


def _source(version: Listed | None) -> str:
    if version is None:
        return "the catalogue's"
    told = "your own" if version.own else "the catalogue's"
    if version.aliased_resource:
        told += f" {version.aliased_resource}"
    if version.start > clock.from_micros(0):
        told += f", from {clock.as_text(version.start)}"
    return told if version.end is None else f"{told}, until {clock.as_text(version.end)}"


def _shown(resource: Resource) -> Iterator[tuple[str, list[str]]]:
    for unit, sides in sorted(listing.shown_units(resource).items()):
        yield unit, [_per_million(sides.get(side)) for side in ("input_price", "output_price")]


def _per_million(price: Decimal | None) -> str:
    if price is None:
        return "-"
    with exact():
        return f"{plain(price * _MILLION):f}"


def _list(ledger: Ledger, arguments: Namespace) -> int:
    if arguments.category is None:
        for category in sorted(ledger.read(listing.categories, ledger.prices)):
            print(category)
        return 0
    names = sorted(ledger.read(listing.resource_names, ledger.prices, arguments.category))
    if not names:
        return _fail(f"there is no category {arguments.category}; see payi-middleware prices list")
    versions = ledger.read(listing.versions, ledger.prices, arguments.category, names)
    print("resource\ttext in, USD per million\ttext out, USD per million\twhose")
    for name in names:
        version = listing.main(versions[name])
        text = listing.shown_units(version.resource).get("text", {})
        sides = [_per_million(text.get(side)) for side in ("input_price", "output_price")]
        print("\t".join([name, *sides, "your own" if version.own else "the catalogue's"]))
    return 0


def _unknown(ledger: Ledger, _arguments: Namespace) -> int:
    while ledger.write(rollups.fold):
        pass
    print("category\tresource\trequests\tfirst seen\tlast seen\tunits")
    for one in ledger.unpriced():
        units = ", ".join(f"{unit} {counts['input']}+{counts['output']}" for unit, counts in one.units.items())
        seen = [clock.as_text(one.first_seen), clock.as_text(one.last_seen)]
        print("\t".join([one.category, one.resource or "-", str(one.requests), *seen, units or "-"]))
    return 0
