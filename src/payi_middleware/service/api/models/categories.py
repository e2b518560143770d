"""Bodies of categories and resources: https://docs.pay-i.com/docs/custom-categories-and-resources"""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from typing import Annotated, Any

from pydantic import BeforeValidator, Field

from payi_middleware.service.api.paging import PageQuery
from payi_middleware.service.api.reading import Body, QueryFlag
from payi_middleware.service.prices.listing import Listed, shown_units, threshold
from payi_middleware.service.prices.own import MOST_USD
from payi_middleware.service.proxy.families import FAMILIES
from payi_middleware.service.store import clock
from payi_middleware.service.store.money import as_decimal

from .common import Answer, Time, Usd

__all__ = ["CategoryAnswer", "ListQuery", "ResourceAnswer", "ResourceCreate", "VersionsQuery", "as_body"]

_MOST_UNITS = 2**53
_MOST_NAMES = 256
_ACTIVE = Field(alias="Active", description="Only what prices events now, or only what does not; all if not given.")
_PROXIED = frozenset(family.category for family in FAMILIES)


class VersionsQuery(PageQuery):
    """Which page of a resource's versions."""

    active: Annotated[QueryFlag, _ACTIVE] = None


class ListQuery(VersionsQuery):
    """Which page of a list by name."""

    sort_ascending: Annotated[
        QueryFlag, Field(description="From A to Z, as it is if not given; if not, from Z to A.")
    ] = None


def _price(value: Any) -> Any:
    if value is None:
        return None
    price = as_decimal(value)
    if price is None or not 0 <= price <= MOST_USD:
        raise ValueError(f"a price must be a number of USD from 0 to {MOST_USD}")
    return price


def _start(value: Any) -> Any:
    if value is None:
        return None
    if not isinstance(value, str):
        raise ValueError("it must be an ISO 8601 date-time")
    try:
        moment = clock.as_utc(datetime.fromisoformat(value))
    except (ValueError, OverflowError):
        raise ValueError("it must be an ISO 8601 date-time") from None
    if moment < clock.from_micros(0):
        raise ValueError("it lies before 1970")
    return moment


_Price = Annotated[Decimal | None, BeforeValidator(_price, json_schema_input_type=float | None), Field(ge=0)]
_Units = Annotated[int | None, Field(strict=True, ge=0, le=_MOST_UNITS)]
_Unit = Annotated[str, Field(min_length=1, max_length=128, pattern=r"^[^\x00]+$")]


class UnitPrices(Body):
    """What a unit costs."""

    input_price: Annotated[_Price, Field(description="USD per single unit that goes in.")] = None
    output_price: Annotated[_Price, Field(description="USD per single unit that comes out.")] = None


class ResourceCreate(Body):
    """A version of a resource."""

    units: Annotated[dict[_Unit, UnitPrices], Field(min_length=1, max_length=_MOST_NAMES)]
    max_input_units: _Units = None
    max_output_units: _Units = None
    max_total_units: _Units = None
    start_timestamp: Annotated[
        datetime | None,
        BeforeValidator(_start, json_schema_input_type=datetime | None),
        Field(
            description="From when on it prices events, by their own time; it may lie in the past. Now, if not given."
        ),
    ] = None


class CategoryAnswer(Answer):
    """A category."""

    category: str


class ShownPrices(Answer):
    """What a unit costs, in USD; a side without a price is left out."""

    input_price: Usd | None = None
    output_price: Usd | None = None


class ResourceAnswer(Answer):
    """A version of a resource."""

    category: str
    resource: str
    resource_id: str
    active: Annotated[bool, Field(description="It prices what happens now.")]
    proxy_allowed: bool
    start_timestamp: Time
    end_timestamp: Time | None = None
    units: dict[str, ShownPrices]
    description: str | None = None
    aliased_resource: str | None = None
    large_context_threshold: int | None = None
    max_input_units: int | None = None
    max_output_units: int | None = None
    max_total_units: int | None = None


def as_body(listed: Listed) -> dict[str, Any]:
    """Write a version of a resource; what there is none of is left out."""
    resource = listed.resource
    told = {
        "end_timestamp": None if listed.end is None else clock.as_text(listed.end),
        "description": listed.description,
        "aliased_resource": listed.aliased_resource,
        "large_context_threshold": threshold(resource),
        "max_input_units": listed.max_input_units,
        "max_output_units": listed.max_output_units,
        "max_total_units": listed.max_total_units,
    }
    return {
        "category": resource.category,
        "resource": resource.name,
        "resource_id": resource.resource_id,
        "active": listed.active,
        # A resource of one's own may be what a call through the proxy is priced as.
        "proxy_allowed": listed.own or resource.category in _PROXIED,
        "start_timestamp": clock.as_text(listed.start),
        "units": shown_units(resource),
        **{name: value for name, value in told.items() if value is not None},
    }
