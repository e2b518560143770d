"""What was used of models that no price is known for."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, TextClause, func, select

from payi_middleware.service.dashboard.filters import Filters
from payi_middleware.service.store.schema import requests

from .plan import Asked
from .sums import conditions_of, literally
from .view import View

__all__ = ["Unpriced", "count_unpriced", "unpriced"]


@dataclass(frozen=True, slots=True)
class Unpriced:
    """A resource without a price: how often, how much and when it was used. Times are microseconds since 1970."""

    category: str
    resource: str | None
    requests: int
    input_tokens: int
    output_tokens: int
    first: int
    last: int


def _conditions(view: View, filters: Filters) -> list[ColumnElement[bool] | TextClause]:
    return [
        *conditions_of(view, filters.period, Asked({}, None)),
        requests.c.resource_id.is_(None),
        literally("payi_requests.unknown_units IS NOT NULL"),
    ]


def count_unpriced(view: View, filters: Filters) -> int:
    """Return how many requests were made of resources without a price."""
    return view.connection.scalar(select(func.count()).select_from(requests).where(*_conditions(view, filters))) or 0


def unpriced(view: View, filters: Filters) -> list[Unpriced]:
    """Return the resources without a price, those that were used most first."""
    columns = requests.c
    query = (
        select(
            columns.category,
            columns.resource,
            func.count().label("requests"),
            func.sum(columns.input_tokens).label("input_tokens"),
            func.sum(columns.output_tokens).label("output_tokens"),
            func.min(columns.event_timestamp).label("first"),
            func.max(columns.event_timestamp).label("last"),
        )
        .where(*_conditions(view, filters))
        .group_by(columns.category, columns.resource)
        .order_by(func.count().desc(), columns.category, columns.resource)
    )
    return [_row(row) for row in view.connection.execute(query).mappings()]


def _row(row: Any) -> Unpriced:
    sums = {name: int(row[name]) for name in ("requests", "input_tokens", "output_tokens", "first", "last")}
    return Unpriced(row["category"], row["resource"], **sums)
