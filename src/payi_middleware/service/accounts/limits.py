"""Limits: budgets that requests are charged to."""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Mapping
from decimal import Decimal
from typing import Any, NamedTuple

from sqlalchemy import Connection, RowMapping, bindparam, insert, or_, select, update

from payi_middleware.service.errors import ServiceError, invalid, missing
from payi_middleware.service.store import clock
from payi_middleware.service.store.money import as_decimal, exact, join, plain
from payi_middleware.service.store.reading import Reads, Rows
from payi_middleware.service.store.schema import STATES, limits
from payi_middleware.service.store.writing import Writes, padded

from . import checks

ALLOW, BLOCK = "allow", "block"
MAX_MAX = Decimal(10) ** 12
_THRESHOLDS = (Decimal("0.75"), Decimal(1))
_REFUSED = "create_limit_validation_failed"

COSTS = ("input_cost_micros", "input_cost_rest", "output_cost_micros", "output_cost_rest")
"""What a limit has been charged with, in the columns of `limits` and of its past periods."""

# Statements that every event needs are built once: building one costs more than running it.
_BY_ID = select(limits).where(
    limits.c.application_id == bindparam("application"), limits.c.limit_id == bindparam("named")
)
_LOCK = (
    select(limits)
    .where(
        limits.c.application_id == bindparam("application"),
        limits.c.limit_id.in_(bindparam("named", expanding=True)),
    )
    .order_by(limits.c.limit_id)
    .with_for_update()
)
_CHARGE = (
    update(limits)
    .where(limits.c.application_id == bindparam("application"), limits.c.limit_id == bindparam("charged"))
    .values({name: limits.c[name] + bindparam(f"add_{name}") for name in (*COSTS, *STATES)})
)


class NewLimit(NamedTuple):
    """A limit to be made. `max` is in USD; `threshold`, a fraction of it, is where a limit counts as exceeded."""

    limit_id: str
    limit_name: str
    limit_type: str
    max: Decimal
    threshold: Decimal | None
    properties: Mapping[str, str] | None = None


def parse_limit(
    *, limit_name: Any, maximum: Any, limit_id: Any, limit_type: Any, threshold: Any, properties: Any = None
) -> NewLimit:
    """Check a limit's settings.

    Raises:
        ServiceError: the first thing that is wrong: https://docs.pay-i.com/docs/error-code-strings
    """
    name = checks.text("limit_name", limit_name, _REFUSED, checks.MAX_NAME)
    if name is None:
        raise missing("limit_name")
    limit_id = limit_id.strip() if isinstance(limit_id, str) else limit_id
    limit_id = checks.text("limit_id", limit_id, _REFUSED, checks.MAX_NAME)
    if limit_id is not None and "," in limit_id:
        raise invalid("limit_id must not hold a comma: it separates ids in a header", _REFUSED)
    if limit_type not in (None, ALLOW, BLOCK):
        raise invalid("limit_type must be 'allow' or 'block'", _REFUSED)
    given = checks.properties("properties", properties)
    kept = {key: value for key, value in given.items() if value is not None}
    return NewLimit(
        limit_id or str(uuid.uuid4()),
        name,
        limit_type or ALLOW,
        parse_max(maximum),
        _threshold(threshold),
        kept or None,
    )


def parse_max(value: Any) -> Decimal:
    """Check a limit's maximum, in USD.

    Raises:
        ServiceError: 400 `required_field_missing` or `invalid_max_limit`.
    """
    if value is None:
        raise missing("max")
    maximum = as_decimal(value)
    if maximum is None or not 0 < maximum <= MAX_MAX:
        raise invalid(f"max must be above 0 and at most {MAX_MAX:f} USD", "invalid_max_limit")
    return plain(maximum)


def _threshold(value: Any) -> Decimal | None:
    if value is None:
        return None
    threshold = as_decimal(value)
    if threshold is None or not _THRESHOLDS[0] <= threshold < _THRESHOLDS[1]:
        raise invalid("threshold must be at least 0.75 and below 1", _REFUSED)
    return plain(threshold)


def create(connection: Connection, application_id: int, new: NewLimit) -> dict[str, Any]:
    """Make a limit, or return the one that has its id already, if maximum and threshold are the same."""
    # In one statement, so that somebody who makes the same limit meanwhile is met with both its id and its name.
    same = or_(limits.c.limit_id == new.limit_id, limits.c.limit_name == new.limit_name)
    found = connection.execute(select(limits).where(limits.c.application_id == application_id, same)).mappings().all()
    if known := [row for row in found if row["limit_id"] == new.limit_id]:
        if (Decimal(known[0]["max"]), optional(known[0]["threshold"])) == (new.max, new.threshold):
            return as_body(known[0])
        raise invalid(f"limit {new.limit_id} exists with another max or threshold", _REFUSED)
    if found:
        raise invalid(f"a limit named {new.limit_name} exists", "limit_name_already_exist")
    connection.execute(insert(limits), as_row(application_id, new))
    return get(connection, application_id, new.limit_id)


def as_row(application_id: int, new: NewLimit) -> dict[str, Any]:
    """Return a new limit as it is stored."""
    made = clock.micros(clock.now())
    return new._asdict() | {
        "application_id": application_id,
        "max": f"{new.max:f}",
        "threshold": None if new.threshold is None else str(new.threshold),
        "properties": None if new.properties is None else dict(new.properties),
        "limit_creation_timestamp": made,
        "limit_update_timestamp": made,
        "period_start": made,
    }


def is_taken(connection: Connection, application_id: int, limit_name: str) -> bool:
    """Return whether a limit has this name."""
    named = limits.c.application_id == application_id, limits.c.limit_name == limit_name
    return connection.scalar(select(limits.c.limit_id).where(*named)) is not None


def get(connection: Connection, application_id: int, limit_id: str) -> dict[str, Any]:
    """Return one limit.

    Raises:
        ServiceError: 404 `limit_not_found`.
    """
    return as_body(required(find(connection, application_id, limit_id), limit_id))


def required(row: Mapping[Any, Any] | None, limit_id: str) -> Mapping[Any, Any]:
    """Return a limit that was found.

    Raises:
        ServiceError: 404 `limit_not_found`.
    """
    if row is None:
        raise ServiceError(404, "limit_not_found", f"there is no limit {limit_id}")
    return row


def every(connection: Connection, application_id: int) -> list[dict[str, Any]]:
    """Return all limits, the oldest first."""
    query = select(limits).where(limits.c.application_id == application_id)
    oldest_first = query.order_by(limits.c.limit_creation_timestamp, limits.c.limit_id)
    return [as_body(row) for row in connection.execute(oldest_first).mappings()]


def find(connection: Connection, application_id: int, limit_id: str) -> RowMapping | None:
    """Return a stored limit."""
    return connection.execute(_BY_ID, {"application": application_id, "named": limit_id}).mappings().one_or_none()


def ask_locked(reads: Reads, application_id: int, limit_ids: Iterable[str]) -> Rows:
    """Ask for those of these limits that exist, and keep others from charging them meanwhile."""
    named = sorted(set(limit_ids))
    return reads.ask(_LOCK, {"application": application_id, "named": padded(named)}) if named else []


def lock(connection: Connection, application_id: int, limit_ids: Iterable[str]) -> dict[str, Mapping[Any, Any]]:
    """Return those of these limits that exist, and keep others from charging them meanwhile."""
    reads = Reads(connection)
    rows = ask_locked(reads, application_id, limit_ids)
    reads.send()
    return {row["limit_id"]: row for row in rows}


def charge(writes: Writes, application_id: int, sums: Mapping[str, Mapping[str, int]]) -> None:
    """Add to limits what requests cost, and the states that they left them in.

    Args:
        sums: what to add to each of the columns in `COSTS` and `STATES`, by limit.
    """
    writes.update(
        _CHARGE,
        [
            {"application": application_id, "charged": limit_id, **{f"add_{name}": n for name, n in added.items()}}
            for limit_id, added in sorted(sums.items())
        ],
    )


def optional(text: str | None) -> Decimal | None:
    """Read a decimal that may be missing."""
    return None if text is None else Decimal(text)


def spend(row: Mapping[Any, Any]) -> Decimal:
    """Return what a limit has been charged with in its current period, in USD."""
    return join(
        row["input_cost_micros"] + row["output_cost_micros"],
        row["input_cost_rest"] + row["output_cost_rest"],
    )


def as_body(row: Mapping[Any, Any]) -> dict[str, Any]:
    """Write a limit the way Pay-i's answers do; amounts are Decimals of USD."""
    return {
        "limit_id": row["limit_id"],
        "limit_name": row["limit_name"],
        "limit_type": row["limit_type"],
        "max": Decimal(row["max"]),
        "threshold": optional(row["threshold"]),
        "limit_creation_timestamp": clock.as_text(row["limit_creation_timestamp"]),
        "limit_update_timestamp": clock.as_text(row["limit_update_timestamp"]),
        "totals": totals(row),
    }


def totals(row: Mapping[Any, Any]) -> dict[str, Any]:
    """Write what a limit was charged with, in its current period or in a past one."""
    maximum, spent = Decimal(row["max"]), spend(row)
    with exact():
        total = {"base": spent, "overrun_base": plain(spent - maximum) if spent > maximum else None}
    return {
        "cost": {
            "input": {"base": join(row["input_cost_micros"], row["input_cost_rest"])},
            "output": {"base": join(row["output_cost_micros"], row["output_cost_rest"])},
            "total": total,
        },
        "requests": {**{state: row[state] for state in STATES}, "total": sum(row[state] for state in STATES)},
    }
