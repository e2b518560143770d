"""Categories and their resources: what things cost."""

from __future__ import annotations

from collections.abc import Iterable

from sqlalchemy import Connection
from starlette.responses import Response

from payi_middleware.listing_names import SYSTEM
from payi_middleware.service.accounts import checks
from payi_middleware.service.accounts.pages import Asked, Page, Position, page_among
from payi_middleware.service.errors import ServiceError, invalid, missing
from payi_middleware.service.prices import listing, own
from payi_middleware.service.prices.listing import Listed
from payi_middleware.service.prices.own import NewResource, Pair
from payi_middleware.service.prices.price_list import Prices
from payi_middleware.service.store import clock

from .bodies import answer
from .models.categories import CategoryAnswer, ListQuery, ResourceAnswer, ResourceCreate, VersionsQuery, as_body
from .paging import PageOf, answer_page, asked
from .routing import Route
from .service import Call

__all__ = ["ROUTES"]

_MAX_NAME = 256
"""Characters of the longest category or resource of one's own."""


async def list_categories(call: Call, query: ListQuery) -> Response:
    """List the categories that resources are in."""
    wanted = _asked(query, "categories")
    found = await call.read(listing.categories, call.ledger.prices)
    page = page_among(_names(found, query.active), lambda name: Position(0, name), wanted)
    return answer_page(page, "categories", lambda name: {"category": name})


async def list_resources(call: Call, category: str, query: ListQuery) -> Response:
    """List a category's resources: of each the version that prices what happens now, else its last one."""
    wanted = _asked(query, _list_of("resources", category))
    page = await call.read(_page_of_resources, call.ledger.prices, category, query.active, wanted)
    return answer_page(page, _list_of("resources", category), as_body)


def _page_of_resources(
    connection: Connection, application_id: int, prices: Prices, category: str, active: bool | None, wanted: Asked
) -> Page[Listed]:
    found = listing.resource_names(connection, application_id, prices, category)
    if not found:
        raise _no_category(category)
    names = page_among(_names(found, active), lambda name: Position(0, name), wanted)
    versions = listing.versions(connection, application_id, prices, category, names.items)
    return Page([listing.main(versions[name]) for name in names.items], names.last)


async def list_versions(call: Call, category: str, resource: str, query: VersionsQuery) -> Response:
    """List the versions of a resource."""
    name = _list_of("versions", category, resource)
    wanted = asked(query, name)
    versions = await call.read(_versions, call.ledger.prices, category, resource)
    shown = [listed for listed in versions if query.active in (None, listed.active)]
    return answer_page(page_among(shown, _position, wanted), name, as_body)


def _position(listed: Listed) -> Position:
    return Position(clock.micros(listed.start), listed.resource.resource_id)


def _versions(
    connection: Connection, application_id: int, prices: Prices, category: str, resource: str
) -> list[Listed]:
    versions = listing.versions(connection, application_id, prices, category, [resource])
    if resource not in versions:
        raise _no_resource(connection, application_id, prices, category, resource)
    return versions[resource]


async def create_resource(call: Call, category: str, resource: str, body: ResourceCreate) -> Response:
    """Make a resource, or a version more of one that there is."""
    now = clock.now()
    new = NewResource(
        pair=Pair(_name("category", category), _name("resource", resource)),
        units={unit: (prices.input_price, prices.output_price) for unit, prices in body.units.items()},
        start=body.start_timestamp or now,
        max_input_units=body.max_input_units,
        max_output_units=body.max_output_units,
        max_total_units=body.max_total_units,
    )
    made = await call.write(_create, call.ledger.prices, new)
    return answer(as_body(made))


def _create(connection: Connection, application_id: int, prices: Prices, new: NewResource) -> Listed:
    category = new.pair.category
    if category.lower().startswith(SYSTEM) and not prices.of(application_id).catalogue.newest().knows(category):
        raise invalid(f"categories that begin with {SYSTEM} are the catalogue's, and it has no {category}")
    now = clock.now()
    made = own.create(connection, application_id, new, now)
    versions = own.of_pairs(connection, application_id, [new.pair])[new.pair]
    listed = listing.of_own(versions, max(now, clock.now()))
    return next(one for one in listed if one.resource.resource_id == made.resource.resource_id)


async def retrieve_version(call: Call, category: str, resource: str, resource_id: str) -> Response:
    """Return a version of a resource."""
    versions = await call.read(_versions, call.ledger.prices, category, resource)
    found = next((listed for listed in versions if listed.resource.resource_id == resource_id), None)
    if found is None:
        raise _not_found(f"{category}/{resource} has no version {resource_id}")
    return answer(as_body(found))


async def delete_category(call: Call, category: str) -> Response:
    """Delete all of one's own resources in a category."""
    return answer([as_body(gone) for gone in await call.write(_delete, call.ledger.prices, category)])


async def delete_resource(call: Call, category: str, resource: str) -> Response:
    """Delete all of one's own versions of a resource."""
    return answer([as_body(gone) for gone in await call.write(_delete, call.ledger.prices, category, resource)])


async def delete_version(call: Call, category: str, resource: str, resource_id: str) -> Response:
    """Delete one of one's own versions of a resource."""
    (gone,) = await call.write(_delete, call.ledger.prices, category, resource, resource_id)
    return answer(as_body(gone))


def _delete(
    connection: Connection,
    application_id: int,
    prices: Prices,
    category: str,
    resource: str | None = None,
    resource_id: str | None = None,
) -> list[Listed]:
    gone = own.delete(connection, application_id, category, resource, resource_id)
    if gone:
        now = clock.now()
        return [
            Listed(version.resource, version.start, version.end or now, False, True, None, None, *version.maxima)
            for version in gone
        ]
    if resource is None:
        known = bool(listing.resource_names(connection, application_id, prices, category))
        raise _managed(category) if known else _no_category(category)
    versions = listing.versions(connection, application_id, prices, category, [resource]).get(resource)
    if versions is None:
        raise _no_resource(connection, application_id, prices, category, resource)
    if resource_id is None or any(listed.resource.resource_id == resource_id for listed in versions):
        raise _managed(f"{category}/{resource}")
    raise _not_found(f"{category}/{resource} has no version {resource_id}")


def _asked(query: ListQuery, name: str) -> Asked:
    return asked(query, name)._replace(ascending=query.sort_ascending is not False)


def _names(found: dict[str, bool], active: bool | None) -> Iterable[str]:
    return (name for name, holds in found.items() if active in (None, holds))


def _list_of(*names: str) -> str:
    return "\n".join(names)


def _name(field: str, value: str) -> str:
    name = checks.text(field, value, maximum=_MAX_NAME)
    if name is None or not name.strip():
        raise missing(field)
    return name


def _managed(name: str) -> ServiceError:
    return invalid(f"{name} is the catalogue's: only resources of your own can be deleted")


def _not_found(message: str, code: str = "category_resource_not_found") -> ServiceError:
    return ServiceError(404, code, message)


def _no_category(category: str) -> ServiceError:
    return _not_found(f"there is no category {category}", "category_not_found")


def _no_resource(
    connection: Connection, application_id: int, prices: Prices, category: str, resource: str
) -> ServiceError:
    if not listing.resource_names(connection, application_id, prices, category):
        return _no_category(category)
    return _not_found(f"there is no resource {resource} in {category}")


_CATEGORY = "/api/v1/categories/{category}"
_RESOURCE = f"{_CATEGORY}/resources/{{resource}}"
_VERSION = f"{_RESOURCE}/{{resource_id}}"
_UNKNOWN = {404: ["category_not_found", "category_resource_not_found"]}
_NO_CATEGORY = {404: ["category_not_found"]}

ROUTES = (
    Route("GET", "/api/v1/categories", list_categories, query=ListQuery, answer=PageOf[CategoryAnswer]),
    Route("DELETE", _CATEGORY, delete_category, answer=list[ResourceAnswer], errors=_NO_CATEGORY),
    Route(
        "GET",
        f"{_CATEGORY}/resources",
        list_resources,
        query=ListQuery,
        answer=PageOf[ResourceAnswer],
        errors=_NO_CATEGORY,
    ),
    Route("POST", _RESOURCE, create_resource, body=ResourceCreate, answer=ResourceAnswer),
    Route("GET", _RESOURCE, list_versions, query=VersionsQuery, answer=PageOf[ResourceAnswer], errors=_UNKNOWN),
    Route("DELETE", _RESOURCE, delete_resource, answer=list[ResourceAnswer], errors=_UNKNOWN),
    Route("GET", _VERSION, retrieve_version, answer=ResourceAnswer, errors=_UNKNOWN),
    Route("DELETE", _VERSION, delete_version, answer=ResourceAnswer, errors=_UNKNOWN),
)
