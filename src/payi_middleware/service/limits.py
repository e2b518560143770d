"""Limits: budgets that requests are charged to."""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Sequence
from decimal import Decimal
from typing import Any, NamedTuple

from sqlalchemy import Connection, RowMapping, bindparam, insert, select, update

from . import checks, clock
from .errors import ServiceError, invalid, missing
from .money import Amount, as_decimal, exact, join, plain
from .schema import STATES, limits

ALLOW, BLOCK = "allow", "block"
MAX_MAX = Decimal(10) ** 12
_THRESHOLDS = (Decimal("0.75"), Decimal(1))
_REFUSED = "create_limit_validation_failed"

# Statements that every event needs are built once: building one costs more than running it.
_BY_ID = select(limits).where(limits.c.limit_id == bindparam("named"))
_LOCK = (
    select(limits)
    .where(limits.c.limit_id.in_(bindparam("named", expanding=True)))
    .order_by(limits.c.id)
    .with_for_update()
)
_COSTS = ("input_cost_micros", "input_cost_rest", "output_cost_micros", "output_cost_rest")
_CHARGE = {
    state: update(limits)
    .where(limits.c.id == bindparam("charged"))
    .values({**{name: limits.c[name] + bindparam(f"add_{name}") for name in _COSTS}, state: limits.c[state] + 1})
    for state in STATES
}


class NewLimit(NamedTuple):
    """A limit to be made. `max` is in USD; `threshold`, a fraction of it, is where a limit counts as exceeded."""

    limit_id: str
    limit_name: str
    limit_type: str
    max: Decimal
    threshold: Decimal | None


class Charge(NamedTuple):
    """What a request did to a limit. `overrun` is the part of the request's cost above the maximum, in USD."""

    limit_id: str
    limit_type: str
    state: str
    overrun: Decimal


def parse_limit(*, limit_name: Any, maximum: Any, limit_id: Any, limit_type: Any, threshold: Any) -> NewLimit:
    """Check a limit's settings.

    Raises:
        ServiceError: the first thing that is wrong: https://docs.pay-i.com/docs/error-code-strings
    """
    name = checks.text("limit_name", limit_name, _REFUSED)
    if name is None:
        raise missing("limit_name")
    limit_id = checks.text("limit_id", limit_id.strip() if isinstance(limit_id, str) else limit_id, _REFUSED)
    if limit_id is not None and "," in limit_id:
        raise invalid("limit_id must not hold a comma: it separates ids in a header", _REFUSED)
    if limit_type not in (None, ALLOW, BLOCK):
        raise invalid("limit_type must be 'allow' or 'block'", _REFUSED)
    return NewLimit(limit_id or str(uuid.uuid4()), name, limit_type or ALLOW, _maximum(maximum), _threshold(threshold))


def _maximum(value: Any) -> Decimal:
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


def create(connection: Connection, new: NewLimit) -> dict[str, Any]:
    """Make a limit, or return the one that has its id already, if maximum and threshold are the same."""
    if (known := _find(connection, new.limit_id)) is not None:
        if (Decimal(known["max"]), _optional(known["threshold"])) == (new.max, new.threshold):
            return as_body(known)
        raise invalid(f"limit {new.limit_id} exists with another max or threshold", _REFUSED)
    if connection.scalar(select(limits.c.id).where(limits.c.limit_name == new.limit_name)) is not None:
        raise invalid(f"a limit named {new.limit_name} exists", "limit_name_already_exist")
    made = clock.as_text(clock.now())
    settings = new._asdict() | {
        "max": f"{new.max:f}",
        "threshold": None if new.threshold is None else str(new.threshold),
    }
    connection.execute(insert(limits).values(**settings, limit_creation_timestamp=made, limit_update_timestamp=made))
    return get(connection, new.limit_id)


def get(connection: Connection, limit_id: str) -> dict[str, Any]:
    """Return one limit.

    Raises:
        ServiceError: 404 `limit_not_found`.
    """
    if (row := _find(connection, limit_id)) is None:
        raise ServiceError(404, "limit_not_found", f"there is no limit {limit_id}")
    return as_body(row)


def every(connection: Connection) -> list[dict[str, Any]]:
    """Return all limits, the oldest first."""
    return [as_body(row) for row in connection.execute(select(limits).order_by(limits.c.id)).mappings()]


def _find(connection: Connection, limit_id: str) -> RowMapping | None:
    return connection.execute(_BY_ID, {"named": limit_id}).mappings().one_or_none()


def lock(connection: Connection, limit_ids: Sequence[str]) -> list[RowMapping]:
    """Return the limits an event names, in its order, and keep others from charging them meanwhile.

    Raises:
        ServiceError: 400 `invalid_limit_ids`, one of them does not exist.
    """
    if not limit_ids:
        return []
    found = {row["limit_id"]: row for row in connection.execute(_LOCK, {"named": limit_ids}).mappings()}
    if unknown := [limit_id for limit_id in limit_ids if limit_id not in found]:
        raise invalid(f"there is no limit {', '.join(unknown)}", "invalid_limit_ids")
    return [found[limit_id] for limit_id in limit_ids]


def charge(
    connection: Connection, locked: Iterable[RowMapping], input_cost: Amount, output_cost: Amount, *, failed: bool
) -> list[Charge]:
    """Add a request's cost to limits and count it under the state each of them is in afterwards."""
    cost = join(input_cost.micros + output_cost.micros, input_cost.rest + output_cost.rest)
    added = {f"add_{name}": part for name, part in zip(_COSTS, (*input_cost, *output_cost), strict=True)}
    charges = []
    for row in locked:
        done = _judge(row, cost, failed=failed)
        connection.execute(_CHARGE[done.state], {**added, "charged": row["id"]})
        charges.append(done)
    return charges


def _judge(row: RowMapping, cost: Decimal, *, failed: bool) -> Charge:
    with exact():
        maximum, spend = Decimal(row["max"]), _spend(row) + cost
        risk = maximum * (_optional(row["threshold"]) or 1)
        overrun = min(cost, max(Decimal(0), spend - maximum))
    if failed:
        state = "failed"
    elif spend > maximum:
        state = "overrun"
    else:
        state = "exceeded" if spend >= risk else "ok"
    return Charge(row["limit_id"], row["limit_type"], state, overrun)


def _optional(text: str | None) -> Decimal | None:
    return None if text is None else Decimal(text)


def _spend(row: RowMapping) -> Decimal:
    return join(
        row["input_cost_micros"] + row["output_cost_micros"],
        row["input_cost_rest"] + row["output_cost_rest"],
    )


def as_body(row: RowMapping) -> dict[str, Any]:
    """Write a limit the way Pay-i's answers do; amounts are Decimals of USD."""
    maximum, spend = Decimal(row["max"]), _spend(row)
    with exact():
        total = {"base": spend, "overrun_base": plain(spend - maximum) if spend > maximum else None}
    return {
        "limit_id": row["limit_id"],
        "limit_name": row["limit_name"],
        "limit_type": row["limit_type"],
        "max": maximum,
        "threshold": _optional(row["threshold"]),
        "limit_creation_timestamp": row["limit_creation_timestamp"],
        "limit_update_timestamp": row["limit_update_timestamp"],
        "totals": {
            "cost": {
                "input": {"base": join(row["input_cost_micros"], row["input_cost_rest"])},
                "output": {"base": join(row["output_cost_micros"], row["output_cost_rest"])},
                "total": total,
            },
            "requests": {**{state: row[state] for state in STATES}, "total": sum(row[state] for state in STATES)},
        },
    }
