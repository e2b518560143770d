"""What is done to limits by their owners: https://docs.pay-i.com/docs/limit-apis"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from decimal import Decimal
from typing import Any

from sqlalchemy import Connection, delete, insert, select, update

from payi_middleware.service.errors import invalid
from payi_middleware.service.store import clock
from payi_middleware.service.store.schema import STATES, limit_periods
from payi_middleware.service.store.schema import limits as table

from . import limits
from .pages import Asked, Page, page
from .use_cases import merge

__all__ = ["change", "merge_properties", "remove", "reset", "some"]


def some(
    connection: Connection, application_id: int, asked: Asked, limit_name: str | None = None
) -> Page[dict[str, Any]]:
    """Return a page of the limits.

    Args:
        limit_name: only the one of this name.
    """
    query = select(table).where(table.c.application_id == application_id)
    if limit_name is not None:
        query = query.where(table.c.limit_name == limit_name)
    found = page(connection, query, table.c.limit_creation_timestamp, table.c.limit_id, asked)
    return Page([limits.as_body(row) for row in found.items], found.last)


def change(
    connection: Connection, application_id: int, limit_id: str, limit_name: str | None, maximum: Decimal | None
) -> dict[str, Any]:
    """Give a limit another name or maximum (USD), and return it.

    Raises:
        ServiceError: 404 `limit_not_found`; 400 `limit_name_already_exist`; 400 `invalid_max_limit_update`, more than
            that was spent.
    """
    row = _locked(connection, application_id, limit_id)
    changes: dict[str, Any] = {}
    if limit_name is not None and limit_name != row["limit_name"]:
        if limits.is_taken(connection, application_id, limit_name):
            raise invalid("another limit has this name", "limit_name_already_exist")
        changes["limit_name"] = limit_name
    if maximum is not None and maximum != Decimal(row["max"]):
        if maximum < limits.spend(row):
            raise invalid("max is less than what was spent", "invalid_max_limit_update")
        changes["max"] = f"{maximum:f}"
    if changes:
        _write(connection, row, changes)
    return limits.get(connection, application_id, limit_id)


def merge_properties(
    connection: Connection, application_id: int, limit_id: str, properties: Mapping[str, str | None]
) -> dict[str, Any]:
    """Merge properties into those of a limit, and return it.

    Raises:
        ServiceError: 404 `limit_not_found`.
    """
    row = _locked(connection, application_id, limit_id)
    _write(connection, row, {"properties": merge(row["properties"], properties) or None})
    return limits.get(connection, application_id, limit_id)


def remove(connection: Connection, application_id: int, limit_id: str) -> None:
    """Delete a limit. Its past periods, and what requests say of it, stay.

    Raises:
        ServiceError: 404 `limit_not_found`.
    """
    row = _locked(connection, application_id, limit_id)
    connection.execute(delete(table).where(*_is(row)))


def reset(
    connection: Connection, application_id: int, limit_id: str, effective: datetime | None = None
) -> dict[str, Any]:
    """End a limit's period, and return it as Pay-i's limit history. The next one begins with nothing spent.

    Whatever arrives from now on is charged to the new period, whenever it happened.

    Args:
        effective: the date that the reset is told for, in UTC; now if not given.

    Raises:
        ServiceError: 404 `limit_not_found`; 400, the date lies in the future.
    """
    now = clock.now()
    if effective is not None and effective > now:
        raise invalid("resetDate lies in the future")
    row = _locked(connection, application_id, limit_id)
    ended = clock.micros(effective or now)
    kept = {name: row[name] for name in limit_periods.c.keys() if name in row}  # noqa: SIM118 - columns, not names
    connection.execute(insert(limit_periods), {**kept, "reset_timestamp": ended})
    # A period is known by its beginning: two resets for one date, or for dates in reverse, end two all the same.
    zeros = dict.fromkeys((*limits.COSTS, *STATES), 0)
    connection.execute(update(table).where(*_is(row)).values(**zeros, period_start=max(ended, row["period_start"] + 1)))
    return {
        "limit_id": limit_id,
        "limit_name": row["limit_name"],
        "limit_type": row["limit_type"],
        "max": Decimal(row["max"]),
        "limit_reset_timestamp": clock.as_text(ended),
        "totals": limits.totals(row),
    }


def _locked(connection: Connection, application_id: int, limit_id: str) -> Mapping[Any, Any]:
    return limits.required(limits.lock(connection, application_id, [limit_id]).get(limit_id), limit_id)


def _write(connection: Connection, row: Mapping[Any, Any], changes: Mapping[str, Any]) -> None:
    now = clock.micros(clock.now())
    connection.execute(update(table).where(*_is(row)).values(**changes, limit_update_timestamp=now))


def _is(row: Mapping[Any, Any]) -> tuple[Any, Any]:
    return table.c.application_id == row["application_id"], table.c.limit_id == row["limit_id"]
