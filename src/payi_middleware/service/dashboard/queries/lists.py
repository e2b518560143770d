"""Requests one by one: the newest, the dearest, the slowest, and one with all that is known of it."""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum
from typing import Any, NamedTuple

from sqlalchemy import ColumnElement, RowMapping, Select, and_, select, tuple_

from payi_middleware.service.accounts.rollups import KEPT_EXTREMES, Extreme
from payi_middleware.service.dashboard.filters import Filters
from payi_middleware.service.store import clock
from payi_middleware.service.store.names import Kind, key_of
from payi_middleware.service.store.schema import extremes, request_limits, requests

from .plan import asked
from .sums import conditions_of
from .view import View

__all__ = ["LISTED", "Cursor", "Sort", "charged_to", "find", "largest", "latest", "newest"]

LISTED = 50
"""Requests on a page."""


class Sort(StrEnum):
    """Which requests come first."""

    NEWEST = "newest"
    DEAREST = "dearest"
    SLOWEST = "slowest"


class Cursor(NamedTuple):
    """The request that a page ends with."""

    event_timestamp: int
    request_id: str

    @classmethod
    def parse(cls, text: str) -> Cursor | None:
        """Read what `str` wrote; None of anything else."""
        time, _, request_id = text.partition("-")
        return cls(int(time), request_id) if time.isdecimal() and len(time) < 19 and request_id else None

    def __str__(self) -> str:
        return f"{self.event_timestamp}-{self.request_id}"


_SHOWN = (
    "request_id",
    "event_timestamp",
    "category",
    "resource",
    "resource_id",
    "user_id",
    "account_name",
    "use_case_name",
    "use_case_id",
    "use_case_step",
    "http_status_code",
    "failed",
    "blocked",
    "end_to_end_latency_ms",
    "input_tokens",
    "output_tokens",
    "input_cost_micros",
    "input_cost_rest",
    "output_cost_micros",
    "output_cost_rest",
)
_LISTING = select(*(requests.c[name] for name in _SHOWN))
_NEWEST_FIRST = requests.c.event_timestamp.desc(), requests.c.request_id.desc()
_COST = requests.c.input_cost_micros + requests.c.output_cost_micros
_REST = requests.c.input_cost_rest + requests.c.output_cost_rest
_VALUES: dict[Sort, tuple[Extreme, tuple[ColumnElement[Any], ...]]] = {
    Sort.DEAREST: (Extreme.COST, (_COST, _REST)),
    Sort.SLOWEST: (Extreme.LATENCY, (requests.c.end_to_end_latency_ms,)),
}


def newest(view: View, filters: Filters, after: Cursor | None = None, limit: int = LISTED) -> Sequence[RowMapping]:
    """Return the newest requests.

    Args:
        after: the request that the page before has ended with.
    """
    query = _matching(view, filters).order_by(*_NEWEST_FIRST)
    if after is not None:
        query = query.where(
            tuple_(requests.c.event_timestamp, requests.c.request_id) < tuple_(*after),
            requests.c.event_timestamp <= after.event_timestamp,
        )
    return view.connection.execute(query.limit(limit)).mappings().all()


def largest(view: View, filters: Filters, sort: Sort, limit: int = LISTED) -> Sequence[RowMapping]:
    """Return the dearest or the slowest requests, at most `KEPT_EXTREMES` of them."""
    limit = min(limit, KEPT_EXTREMES)
    extreme, values = _VALUES[sort]
    if filters.narrows or filters.period.step == 1:
        return _first(view, _matching(view, filters).where(values[0] > 0), sort, limit)
    own = requests.c.application_id == view.application_id
    query: Any = _LISTING.where(own, requests.c.request_id.in_(_kept(view, filters, extreme, limit)))
    if view.unfolded is not None:
        conditions = conditions_of(view, filters.period, asked(view, filters), by_batch=True)
        query = query.union_all(_LISTING.where(*conditions, values[0] > 0, view.unfolded))
    return _first(view, query, sort, limit)


def _matching(view: View, filters: Filters) -> Select[Any]:
    return _LISTING.where(*conditions_of(view, filters.period, asked(view, filters)))


def _first(view: View, query: Any, sort: Sort, limit: int) -> Sequence[RowMapping]:
    """Return the first rows of a query or of a union."""
    rows = query.subquery()
    columns = rows.c
    if sort is Sort.SLOWEST:
        order = [columns.end_to_end_latency_ms.desc()]
    else:
        order = [
            (columns.input_cost_micros + columns.output_cost_micros).desc(),
            (columns.input_cost_rest + columns.output_cost_rest).desc(),
        ]
    ordered = select(rows).order_by(*order, columns.request_id.desc()).limit(limit)
    return view.connection.execute(ordered).mappings().all()


def _kept(view: View, filters: Filters, extreme: Extreme, limit: int) -> list[str]:
    """Return the requests with the largest values among those that are kept of each day."""
    begin, end = (moment // clock.DAY for moment in filters.period.micros)
    query = (
        select(extremes.c.request_id)
        .where(
            extremes.c.application_id == view.application_id,
            extremes.c.kind == int(extreme),
            extremes.c.day >= begin,
            extremes.c.day < end,
        )
        # Of those of the same millionth of a dollar, any may be the dearer: all of them are looked at.
        .order_by(extremes.c.value.desc())
        .limit(2 * limit)
    )
    return list(view.connection.scalars(query))


def latest(view: View, limit: int = LISTED) -> Sequence[RowMapping]:
    """Return the requests that came in last, whenever they were made."""
    own = requests.c.application_id == view.application_id
    query = _LISTING.where(own).order_by(requests.c.request_id.desc()).limit(limit)
    return view.connection.execute(query).mappings().all()


def charged_to(view: View, limit_id: str, limit: int = LISTED) -> Sequence[RowMapping]:
    """Return the requests that a limit was charged with last."""
    charged = and_(
        request_limits.c.application_id == requests.c.application_id,
        request_limits.c.request_id == requests.c.request_id,
    )
    query = (
        _LISTING.add_columns(requests.c.limits)
        .join(request_limits, charged)
        .where(
            request_limits.c.application_id == view.application_id,
            request_limits.c.limit_key == key_of(Kind.LIMIT, limit_id),
        )
        .order_by(request_limits.c.request_id.desc())
        .limit(limit)
    )
    return view.connection.execute(query).mappings().all()


def find(view: View, request_id: str) -> RowMapping | None:
    """Return all that is known of a request."""
    own = requests.c.application_id == view.application_id, requests.c.request_id == request_id
    return view.connection.execute(select(requests).where(*own)).mappings().one_or_none()
