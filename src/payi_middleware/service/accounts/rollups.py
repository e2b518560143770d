"""Sums of requests by hour and by name, so that a page over a million requests reads some thousand rows.

Booking a request does not touch them: it leaves a mark of what a transaction has booked (`batches`), and whoever serves
the dashboard adds that up soon after (`fold`), in statements of the database's own. Hours that are long over become
days (`compact`). A sum over both is exact at any time, as each request is in one of them.
"""

from __future__ import annotations

from collections.abc import Iterator
from enum import IntEnum
from functools import cache
from typing import Any

from sqlalchemy import (
    CTE,
    BigInteger,
    ColumnElement,
    CompoundSelect,
    Connection,
    Integer,
    Select,
    and_,
    bindparam,
    case,
    cast,
    delete,
    func,
    literal,
    select,
    union_all,
)

from payi_middleware.service.store import clock
from payi_middleware.service.store.names import NONE
from payi_middleware.service.store.planning import look_up_by_index
from payi_middleware.service.store.schema import applications, batches, extremes, request_limits, requests, rollups
from payi_middleware.service.store.writing import Upsert, padded, upsert

from . import unpriced

__all__ = [
    "BY_DAY",
    "HOURS_KEPT",
    "KEPT_EXTREMES",
    "KEYS",
    "SUMS",
    "Extreme",
    "Rollup",
    "compact",
    "fold",
    "unfolded",
]

_BATCHES_AT_ONCE = 256
_REQUESTS_AT_ONCE = {"sqlite": (64, 64), "postgresql": (128, 1_000)}
"""What one transaction adds up where little waits, and where much does. Nobody else writes to SQLite for as long, some
6 ms, of which 2 are for any number; PostgreSQL takes a processor for it from those who book, at 8 ms for any number."""
_MUCH = 1_000
HOURS_KEPT = 50
"""Hours that stay hours: what is older is by day."""
_HOURS_A_DAY = 24
KEPT_EXTREMES = 50

BY_DAY = 100
"""What is added to a kind where its bucket is a day: the number of the day's first hour."""


class Rollup(IntEnum):
    """What requests are summed by. `TOTAL` stays by hour for ever, as it is one row each."""

    TOTAL = 0
    USER = 1
    ACCOUNT = 2
    USE_CASE = 3
    RESOURCE = 4
    USER_ACCOUNT = 5
    USER_USE_CASE = 6
    USER_RESOURCE = 7
    ACCOUNT_USE_CASE = 8
    ACCOUNT_RESOURCE = 9
    USE_CASE_RESOURCE = 10
    USE_CASE_STEP = 11
    USE_CASE_INSTANCE = 12
    LIMIT = 13
    LIMIT_USER = 14


class Extreme(IntEnum):
    """What the largest of each day are kept of."""

    COST = 1
    LATENCY = 2


KEYS: dict[Rollup, tuple[str | None, str | None]] = {
    Rollup.TOTAL: (None, None),
    Rollup.USER: ("user_key", None),
    Rollup.ACCOUNT: ("account_key", None),
    Rollup.USE_CASE: ("use_case_key", None),
    Rollup.RESOURCE: ("resource_key", None),
    Rollup.USER_ACCOUNT: ("user_key", "account_key"),
    Rollup.USER_USE_CASE: ("user_key", "use_case_key"),
    Rollup.USER_RESOURCE: ("user_key", "resource_key"),
    Rollup.ACCOUNT_USE_CASE: ("account_key", "use_case_key"),
    Rollup.ACCOUNT_RESOURCE: ("account_key", "resource_key"),
    Rollup.USE_CASE_RESOURCE: ("use_case_key", "resource_key"),
    Rollup.USE_CASE_STEP: ("use_case_key", "step_key"),
    Rollup.USE_CASE_INSTANCE: ("use_case_key", "instance_key"),
    Rollup.LIMIT: ("limit_key", None),
    Rollup.LIMIT_USER: ("limit_key", "user_key"),
}
_OF_LIMITS = (Rollup.LIMIT, Rollup.LIMIT_USER)
_OF_USE_CASES = (Rollup.USE_CASE_STEP, Rollup.USE_CASE_INSTANCE)
_PRIMARY = ("application_id", "kind", "bucket", "key1", "key2")
SUMS = tuple(column.name for column in rollups.c if column.name not in _PRIMARY)
"""The columns that hold sums."""


def fold(connection: Connection, application_id: int) -> int:
    """Add up what was booked lately.

    Any number of processes may call it: one of them does it.

    Returns:
        How many transactions' requests were added; 0 if nothing is left, or another one is at it.
    """
    taken = _take(connection, application_id)
    if taken:
        dialect = connection.dialect.name
        recent = clock.micros(clock.now()) // clock.HOUR - HOURS_KEPT
        named = {"application": application_id, "taken": padded(taken), "recent": recent}
        look_up_by_index(connection)
        connection.execute(_folding(dialect), named)
        for extreme in Extreme:
            connection.execute(_largest(dialect, extreme), named)
            _trim(connection, application_id, extreme)
        unpriced.fold(connection, application_id, padded(taken))
    return len(taken)


def unfolded(connection: Connection) -> dict[int, int]:
    """Return how many transactions are left to be added up, by application."""
    return {row.application_id: row.waiting for row in connection.execute(_UNFOLDED)}


def _take(connection: Connection, application_id: int) -> list[int]:
    own = {"application": application_id}
    # Two that add up at once would wait for each other's rows.
    if connection.scalar(_TURN, own) is None:
        return []
    oldest = connection.execute(_OLDEST, own).all()
    little, much = _REQUESTS_AT_ONCE[connection.dialect.name]
    most = much if sum(row.requests for row in oldest) > _MUCH else little
    taken: list[int] = []
    count = 0
    for row in oldest:
        if taken and count + row.requests > most:
            break
        taken.append(row.batch)
        count += row.requests
    if taken:
        connection.execute(_TAKE, {**own, "taken": padded(taken)})
    return taken


_APPLICATION: ColumnElement[int] = bindparam("application", type_=Integer)
_TAKEN: ColumnElement[Any] = bindparam("taken", expanding=True)
_OF_BATCHES = requests.c.application_id == _APPLICATION, requests.c.batch.in_(_TAKEN)
"""Statements take the application, the batches (`taken`) and the first hour that stays one (`recent`)."""
_TURN = select(applications.c.application_id).where(applications.c.application_id == _APPLICATION)
_TURN = _TURN.with_for_update(skip_locked=True)
_OLDEST = (
    select(batches.c.batch, batches.c.requests)
    .where(batches.c.application_id == _APPLICATION)
    .order_by(batches.c.batch)
    .limit(_BATCHES_AT_ONCE)
)
_UNFOLDED = select(batches.c.application_id, func.count().label("waiting")).group_by(batches.c.application_id)
_TAKE = delete(batches).where(batches.c.application_id == _APPLICATION, batches.c.batch.in_(_TAKEN))


@cache
def _folding(dialect: str) -> Upsert:
    """Return the statement that adds batches to all kinds of rollups.

    It is one, so that the requests are read once, and built once: building it takes longer than running it.
    """
    booked = select(*_counted()).where(*_OF_BATCHES).cte("booked")
    own = request_limits.c.application_id == _APPLICATION, request_limits.c.batch.in_(_TAKEN)
    # By the primary key alone: PostgreSQL, until it knows better, expects a row of each batch, and compares them all.
    request = and_(
        requests.c.application_id == request_limits.c.application_id,
        requests.c.request_id == request_limits.c.request_id,
    )
    of_limits = select(request_limits.c.limit_key, *_counted()).select_from(request_limits.join(requests, request))
    charged = of_limits.where(*own).cte("charged")
    return _adding(dialect, union_all(*(_grouped(kind, charged if kind in _OF_LIMITS else booked) for kind in Rollup)))


def _counted() -> Iterator[ColumnElement[Any]]:
    """Yield what counts of a request."""
    columns = requests.c
    hour = cast(columns.event_timestamp // clock.HOUR, Integer)
    stays = hour >= bindparam("recent", type_=Integer)
    yield hour.label("hour")
    yield case((stays, hour), else_=_day(hour)).label("bucket")
    yield case((stays, 0), else_=BY_DAY).label("older")
    named = {name for names in KEYS.values() for name in names if name is not None and name in columns}
    yield from (columns[name] for name in sorted(named))
    yield from (columns[name] for name in SUMS if name in columns and name not in ("failed", "blocked"))
    yield case((columns.failed, 1), else_=0).label("failed")
    yield case((columns.blocked, 1), else_=0).label("blocked")
    yield func.coalesce(columns.end_to_end_latency_ms, 0).label("latency_ms")
    yield case((columns.end_to_end_latency_ms.is_not(None), 1), else_=0).label("timed")


def _day(hour: ColumnElement[int]) -> ColumnElement[int]:
    return hour - hour % _HOURS_A_DAY


def _grouped(kind: Rollup, source: CTE) -> Select[Any]:
    columns = source.c
    always = kind is Rollup.TOTAL
    older, bucket = (literal(0), columns.hour) if always else (columns.older, columns.bucket)
    keys = [literal(NONE) if name is None else columns[name] for name in KEYS[kind]]
    sums = {name: func.count() if name == "requests" else func.sum(columns[name]) for name in SUMS}
    told = select(
        _APPLICATION.label("application_id"),
        (older + int(kind)).label("kind"),
        bucket.label("bucket"),
        *(key.label(f"key{number}") for number, key in enumerate(keys, 1)),
        *(cast(value, BigInteger).label(name) for name, value in sums.items()),
    )
    if kind in _OF_USE_CASES:
        told = told.where(columns.use_case_key != NONE)
    grouped = [] if always else [columns.older]
    named = [columns[name] for name in KEYS[kind] if name is not None]
    return told.select_from(source).group_by(*grouped, bucket, *named)


def _adding(dialect: str, told: Select[Any] | CompoundSelect[Any]) -> Upsert:
    """Return the statement that adds sums to those that are there."""
    adding = upsert(dialect, rollups).from_select([column.name for column in told.selected_columns], told)
    added = {name: rollups.c[name] + adding.excluded[name] for name in SUMS}
    return adding.on_conflict_do_update(index_elements=list(_PRIMARY), set_=added)


_VALUES: dict[Extreme, ColumnElement[int]] = {
    Extreme.COST: requests.c.input_cost_micros + requests.c.output_cost_micros,
    Extreme.LATENCY: requests.c.end_to_end_latency_ms,
}


@cache
def _largest(dialect: str, extreme: Extreme) -> Upsert:
    """Return the statement that takes up the largest of each day that these batches have."""
    day = cast(requests.c.event_timestamp // clock.DAY, Integer)
    value = _VALUES[extreme]
    ranked = (
        select(
            day.label("day"),
            value.label("value"),
            requests.c.request_id,
            func.row_number().over(partition_by=day, order_by=value.desc()).label("place"),
        )
        .where(*_OF_BATCHES, value > 0)
        .subquery()
    )
    largest = select(
        _APPLICATION.label("application_id"),
        literal(int(extreme)).label("kind"),
        ranked.c.day,
        ranked.c.value,
        ranked.c.request_id,
    ).where(ranked.c.place <= KEPT_EXTREMES)
    columns = [column.name for column in largest.selected_columns]
    return upsert(dialect, extremes).from_select(columns, largest).on_conflict_do_nothing()


_OF_KIND = extremes.c.application_id == _APPLICATION, extremes.c.kind == bindparam("kind")
_OF_DAY = *_OF_KIND, extremes.c.day == bindparam("day")
_CROWDED = select(extremes.c.day).where(*_OF_KIND).group_by(extremes.c.day).having(func.count() > KEPT_EXTREMES)
_LEAST_KEPT = select(extremes.c.value).where(*_OF_DAY).order_by(extremes.c.value.desc())
_LEAST_KEPT = _LEAST_KEPT.offset(KEPT_EXTREMES - 1).limit(1)
_DROP = delete(extremes).where(*_OF_DAY, extremes.c.value < bindparam("least"))


def _trim(connection: Connection, application_id: int, extreme: Extreme) -> None:
    own = {"application": application_id, "kind": int(extreme)}
    for day in list(connection.scalars(_CROWDED, own)):
        of_day = {**own, "day": day}
        connection.execute(_DROP, {**of_day, "least": connection.scalars(_LEAST_KEPT, of_day).one()})


def compact(connection: Connection, application_id: int) -> None:
    """Make days of the hours that are long over."""
    before = clock.micros(clock.now()) // clock.HOUR - HOURS_KEPT
    before -= before % _HOURS_A_DAY
    old = and_(
        rollups.c.application_id == application_id,
        rollups.c.kind.between(int(Rollup.TOTAL) + 1, BY_DAY - 1),
        rollups.c.bucket < before,
    )
    grouped = {
        "kind": rollups.c.kind + BY_DAY,
        "bucket": _day(rollups.c.bucket),
        "key1": rollups.c.key1,
        "key2": rollups.c.key2,
    }
    told = select(
        literal(application_id).label("application_id"),
        *(value.label(name) for name, value in grouped.items()),
        *(cast(func.sum(rollups.c[name]), BigInteger).label(name) for name in SUMS),
    )
    adding = _adding(connection.dialect.name, told.where(old).group_by(*(value for value in grouped.values())))
    connection.execute(adding)
    connection.execute(delete(rollups).where(old))
