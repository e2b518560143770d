"""Sums of requests: of all, by time and by name.

They come from the rollups and the requests that are not in them yet, or from the requests where no rollup answers.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Self

from sqlalchemy import (
    BigInteger,
    ColumnElement,
    Integer,
    RowMapping,
    Select,
    TextClause,
    and_,
    case,
    cast,
    false,
    func,
    literal,
    select,
    text,
    true,
    union_all,
)

from payi_middleware.service.accounts.rollups import BY_DAY, KEYS, SUMS, Rollup
from payi_middleware.service.dashboard.filters import Dimension, Filters, Status
from payi_middleware.service.dashboard.periods import Period
from payi_middleware.service.store import clock
from payi_middleware.service.store.money import exact, join
from payi_middleware.service.store.names import NONE
from payi_middleware.service.store.schema import request_limits, requests, rollups

from .plan import COLUMNS, Asked, asked, rollup_for
from .view import View

__all__ = ["ORDERS", "Sums", "conditions_of", "grouped", "literally", "over_time", "over_time_by", "total"]

_HOURS_A_DAY = 24
_REST = 1_000_000_000


@dataclass(frozen=True, slots=True)
class Sums:
    """What requests add up to. Costs are USD.

    Args:
        latency_ms: of the `timed` requests together.
    """

    requests: int = 0
    failed: int = 0
    blocked: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    input_cost: Decimal = Decimal()
    output_cost: Decimal = Decimal()
    latency_ms: int = 0
    timed: int = 0

    @property
    def cost(self) -> Decimal:
        """Both costs together."""
        with exact():
            return self.input_cost + self.output_cost

    @property
    def tokens(self) -> int:
        """Tokens in both directions."""
        return self.input_tokens + self.output_tokens

    @property
    def mean_latency(self) -> float | None:
        """Milliseconds that a request took, on average."""
        return self.latency_ms / self.timed if self.timed else None

    @property
    def mean_cost(self) -> Decimal | None:
        """USD of a request, on average."""
        with exact():
            return self.cost / self.requests if self.requests else None

    @property
    def failure_rate(self) -> float | None:
        """The part of the requests that failed."""
        return self.failed / self.requests if self.requests else None

    def __add__(self, other: Self) -> Self:
        with exact():
            return type(self)(*(getattr(self, name) + getattr(other, name) for name in self.__slots__))


def total(view: View, filters: Filters) -> Sums:
    """Return what all requests add up to."""
    rows = _read(view, filters, (), select_by=())
    return next((_sums(row) for row in rows), Sums())


def over_time(view: View, filters: Filters) -> dict[int, Sums]:
    """Return sums by the first hour of each of the period's bars; bars without requests are left out."""
    rows = _read(view, filters, (), select_by=("bar",))
    return {row["bar"]: _sums(row) for row in rows}


def over_time_by(
    view: View, filters: Filters, dimension: Dimension, keys: Sequence[tuple[int, ...]]
) -> dict[tuple[int, ...], dict[int, Sums]]:
    """Return sums by some names and by the period's bars."""
    columns = COLUMNS[dimension]
    found: dict[tuple[int, ...], dict[int, Sums]] = {key: {} for key in keys}
    for row in _read(view, filters, columns, select_by=("bar", *columns), only=keys):
        found[_key(row, columns)][row["bar"]] = _sums(row)
    return found


def grouped(
    view: View,
    filters: Filters,
    dimension: Dimension,
    *,
    order: str = "cost",
    limit: int | None = None,
    offset: int = 0,
    only: Sequence[tuple[int, ...]] | None = None,
) -> list[tuple[tuple[int, ...], Sums]]:
    """Return sums by the keys of a dimension, the largest first.

    Args:
        order: one of `ORDERS`.
        limit, offset: which of them.
        only: the keys that are wanted; all, if it is not given.
    """
    columns = COLUMNS[dimension]
    rows = _read(view, filters, columns, select_by=columns, only=only, order=order, limit=limit, offset=offset)
    return [(_key(row, columns), _sums(row)) for row in rows]


def _key(row: RowMapping, columns: Sequence[str]) -> tuple[int, ...]:
    return tuple(row[name] for name in columns)


def _sums(row: RowMapping) -> Sums:
    told = {name: int(row[name] or 0) for name in SUMS}
    costs = {
        f"{side}_cost": join(told.pop(f"{side}_cost_micros"), told.pop(f"{side}_cost_rest"))
        for side in ("input", "output")
    }
    return Sums(**told, **costs)  # type: ignore[arg-type]


def _read(
    view: View,
    filters: Filters,
    columns: Sequence[str],
    *,
    select_by: Sequence[str],
    only: Sequence[tuple[int, ...]] | None = None,
    order: str | None = None,
    limit: int | None = None,
    offset: int = 0,
) -> Sequence[RowMapping]:
    wanted = asked(view, filters)
    keys = {**wanted.keys}
    for place, name in enumerate(columns if only is not None else ()):
        keys[name] = tuple({key[place] for key in only or ()})
    if any(not values for values in keys.values()):
        return []
    parts = list(_parts(view, filters.period, Asked(keys, wanted.status), columns))
    union = union_all(*parts).subquery()
    bar = union.c.bucket - union.c.bucket % filters.period.step
    by = [bar.label(name) if name == "bar" else union.c[name] for name in select_by]
    added = {name: func.sum(union.c[name]) for name in SUMS}
    query = select(*by, *(value.label(name) for name, value in added.items()))
    if select_by:
        query = query.group_by(*(bar if name == "bar" else union.c[name] for name in select_by))
        # What an OK is left of may be nothing, where a rollup counts those that are taken off again.
        query = query.having(added["requests"] > 0)
    if order is not None:
        query = query.order_by(ORDERS[order](added).desc(), *by)
    query = query.limit(limit).offset(offset or None)
    found = view.connection.execute(query).mappings().all()
    wanted_keys = None if only is None else set(only)
    return [row for row in found if wanted_keys is None or _key(row, columns) in wanted_keys]


def _cost(added: Mapping[str, ColumnElement[int]]) -> ColumnElement[Any]:
    micros = added["input_cost_micros"] + added["output_cost_micros"]
    return micros + cast((added["input_cost_rest"] + added["output_cost_rest"]) / _REST, BigInteger)


ORDERS: dict[str, Callable[[Mapping[str, ColumnElement[int]]], ColumnElement[Any]]] = {
    "cost": _cost,
    "requests": lambda added: added["requests"],
    "failed": lambda added: added["failed"],
    "input": lambda added: added["input_tokens"],
    "output": lambda added: added["output_tokens"],
    "latency": lambda added: added["latency_ms"] / func.nullif(added["timed"], 0),
}
"""What names can be sorted by."""


def _parts(view: View, period: Period, wanted: Asked, columns: Sequence[str]) -> Iterator[Select[Any]]:
    """Yield queries whose rows together are those that are to be added up."""
    if wanted.status in (Status.FAILED, Status.BLOCKED):
        yield _of_requests(view, period, wanted, columns)
        return
    kind = rollup_for(wanted.keys, columns)
    if kind is None:
        yield _of_requests(view, period, wanted, columns)
        return
    yield _of_rollups(view, period, wanted, columns, kind)
    if view.unfolded is not None:
        yield _of_requests(view, period, Asked(wanted.keys, None), columns, view.unfolded)
    if wanted.status is Status.OK:
        yield _of_requests(view, period, Asked(wanted.keys, Status.FAILED), columns, sign=-1)
        blocked_only = requests.c.failed == false()
        yield _of_requests(view, period, Asked(wanted.keys, Status.BLOCKED), columns, blocked_only, sign=-1)


def _of_rollups(view: View, period: Period, wanted: Asked, columns: Sequence[str], kind: Rollup) -> Select[Any]:
    place = {name: rollups.c[f"key{number}"] for number, name in enumerate(KEYS[kind], 1) if name is not None}
    kinds = [int(kind)] if kind is Rollup.TOTAL or period.step == 1 else [int(kind), int(kind) + BY_DAY]
    query = select(
        rollups.c.bucket, *(place[name].label(name) for name in columns), *(rollups.c[name] for name in SUMS)
    ).where(
        rollups.c.application_id == view.application_id,
        rollups.c.kind.in_(kinds),
        rollups.c.bucket >= period.begin,
        rollups.c.bucket < period.end,
    )
    for name, values in wanted.keys.items():
        query = query.where(place[name].in_(values) if len(values) > 1 else place[name] == values[0])
    return query


def _of_requests(
    view: View,
    period: Period,
    wanted: Asked,
    columns: Sequence[str],
    more: ColumnElement[bool] | None = None,
    *,
    sign: int = 1,
) -> Select[Any]:
    of_limits = "limit_key" in columns or "limit_key" in wanted.keys
    grouping = [request_limits.c.limit_key if name == "limit_key" else requests.c[name] for name in columns]
    query = select(
        cast(requests.c.event_timestamp // clock.HOUR, Integer).label("bucket"),
        *(column.label(name) for name, column in zip(columns, grouping, strict=True)),
        *((value * sign).label(name) for name, value in _counted().items()),
    ).where(
        *conditions_of(view, period, wanted, with_limits=of_limits, by_batch=more is not None and more is view.unfolded)
    )
    if "step_key" in columns or "instance_key" in columns:  # they are those of a use case, as in the rollups
        query = query.where(requests.c.use_case_key + 0 != NONE)
    if of_limits:
        charged = and_(
            request_limits.c.application_id == requests.c.application_id,
            request_limits.c.request_id == requests.c.request_id,
        )
        query = query.join(request_limits, charged)
    return query if more is None else query.where(more)


def _counted() -> dict[str, ColumnElement[int]]:
    """Return what one request adds to each sum."""
    columns = requests.c
    counted: dict[str, ColumnElement[int]] = {
        name: columns[name] for name in SUMS if name in columns and name not in ("failed", "blocked")
    }
    counted |= {
        "requests": literal(1, BigInteger),
        "failed": case((columns.failed, 1), else_=0),
        "blocked": case((columns.blocked, 1), else_=0),
        "latency_ms": func.coalesce(columns.end_to_end_latency_ms, 0),
        "timed": case((columns.end_to_end_latency_ms.is_(None), 0), else_=1),
    }
    return {name: counted[name] for name in SUMS}


def conditions_of(
    view: View, period: Period, wanted: Asked, *, with_limits: bool = False, by_batch: bool = False
) -> list[ColumnElement[bool] | TextClause]:
    """Return what holds for the requests that are asked for.

    One of the conditions leads to them by an index. The others are written so that no index fits them: a database
    without statistics, as SQLite is here, might take the index of the least selective one.

    Args:
        with_limits: each request is joined with the limits that it was charged to.
        by_batch: they are found by what booked them.
    """
    begin, end = period.micros
    leading = None if by_batch else _leading(wanted)
    time = requests.c.event_timestamp + 0 if by_batch else requests.c.event_timestamp
    told: list[ColumnElement[bool] | TextClause] = [
        requests.c.application_id == view.application_id,
        time >= begin,
        time < end,
    ]
    for name, values in wanted.keys.items():
        if name == "limit_key":
            told.append(_charged_to(view, values[0], with_limits=with_limits))
            continue
        column = requests.c[name] if name == leading else requests.c[name] + 0
        told.append(column.in_(values) if len(values) > 1 else column == values[0])
        if name == leading and name != "resource_key":
            told.append(literally(f"payi_requests.{name} <> 0"))
    told += _STATUS.get(wanted.status, ())
    return told


def _leading(wanted: Asked) -> str | None:
    """Return the column by whose index the fewest requests are read; None where time or status lead."""
    if wanted.status in (Status.FAILED, Status.BLOCKED):
        return None
    for name in ("instance_key", "user_key", "account_key", "use_case_key", "resource_key"):
        values = wanted.keys.get(name, ())
        if len(values) == 1 and (values[0] != NONE or name == "resource_key"):
            return name
    return None


def _charged_to(view: View, limit_key: int, *, with_limits: bool) -> ColumnElement[bool]:
    if with_limits:
        return request_limits.c.limit_key == limit_key
    charged = request_limits.c.application_id == view.application_id, request_limits.c.limit_key == limit_key
    return requests.c.request_id.in_(select(request_limits.c.request_id).where(*charged))


def literally(condition: str) -> TextClause:
    """Return a condition the way that a partial index has it: SQLite finds the index by that."""
    return text(condition)


_STATUS: dict[Status | None, tuple[ColumnElement[bool] | TextClause, ...]] = {
    Status.FAILED: (literally("payi_requests.failed"), requests.c.failed == true()),
    Status.BLOCKED: (literally("payi_requests.blocked"), requests.c.blocked == true()),
    Status.OK: (requests.c.failed == false(), requests.c.blocked == false()),
}
