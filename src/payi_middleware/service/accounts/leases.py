"""What processes hold of limits: they ask for a part before they make calls, so that together they stay within it."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from sqlalchemy import Connection, bindparam, delete, insert, select, update

from payi_middleware.granting import Asked, grant, quanta_below
from payi_middleware.service.store import clock
from payi_middleware.service.store.schema import leases

from . import limits

__all__ = ["take"]

_HELD_MICROS = 10_000_000
"""Microseconds for which a process holds a part of a limit; one that was killed has it no longer after that."""

_OF_LIMIT = select(leases).where(
    leases.c.application_id == bindparam("application"), leases.c.limit_id == bindparam("named")
)


def take(connection: Connection, application_id: int, limit_id: str, holder: str, asked: Asked) -> dict[str, Any]:
    """Give a process a part of a limit, and return the limit and that lease.

    Raises:
        ServiceError: 404 `limit_not_found`.
    """
    row = limits.required(limits.lock(connection, application_id, [limit_id]).get(limit_id), limit_id)
    now = clock.micros(clock.now())
    held = connection.execute(_OF_LIMIT, {"application": application_id, "named": limit_id}).mappings().all()
    others = sum(lease["held"] for lease in held if lease["holder"] != holder and lease["until"] > now)
    maximum, spent = quanta_below(Decimal(row["max"])), quanta_below(limits.spend(row))
    granted = grant(maximum, spent, others, asked) if row["limit_type"] == limits.BLOCK else 0
    own = (leases.c.application_id == application_id, leases.c.limit_id == limit_id)
    _forget(connection, [lease["holder"] for lease in held if lease["until"] <= now], own)
    if any(lease["holder"] == holder and lease["until"] > now for lease in held):
        changed = update(leases).where(*own, leases.c.holder == holder).values(held=granted, until=now + _HELD_MICROS)
        connection.execute(changed)
    elif granted:
        made = {"limit_id": limit_id, "holder": holder, "held": granted, "until": now + _HELD_MICROS}
        connection.execute(insert(leases), {"application_id": application_id, **made})
    left = maximum - spent - others - granted
    return {"limit": limits.as_body(row), "lease": {"granted": granted, "left": left}}


def _forget(connection: Connection, holders: list[str], own: tuple[Any, Any]) -> None:
    if holders:
        connection.execute(delete(leases).where(*own, leases.c.holder.in_(holders)))
