"""Whether a call may be made: what its limits have been charged with so far."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal

from sqlalchemy import Connection, RowMapping, bindparam, select

from payi_middleware.service.errors import invalid
from payi_middleware.service.store.schema import limits as limits_table
from payi_middleware.service.store.schema import use_case_instances as instances

from . import limits

__all__ = ["existing", "refusing"]

_NAMED = select(limits_table).where(
    limits_table.c.application_id == bindparam("application"),
    limits_table.c.limit_id.in_(bindparam("named", expanding=True)),
)
_OF_INSTANCE = select(instances.c.limit_id).where(
    instances.c.application_id == bindparam("application"),
    instances.c.use_case_name == bindparam("named"),
    instances.c.use_case_id == bindparam("named_id"),
)


def refusing(
    connection: Connection,
    application_id: int,
    limit_ids: Sequence[str],
    use_case_name: str | None = None,
    use_case_id: str | None = None,
) -> tuple[str, ...]:
    """Return the limits that refuse a call: those of type block that have been charged with their maximum or more.

    Nothing is reserved for the calls that are under way: as many of them as there are when a limit reaches its maximum
    may still be charged to it.

    Args:
        limit_ids: the limits that the call names.
        use_case_name, use_case_id: its instance, whose own limit counts too; one that is not there has been charged
            with nothing.

    Raises:
        ServiceError: 400 `invalid_limit_ids`, it names limits that do not exist.
    """
    automatic = _automatic(connection, application_id, use_case_name, use_case_id)
    asked = list(dict.fromkeys([*limit_ids, *automatic]))
    rows = _rows(connection, application_id, asked)
    if unknown := [limit_id for limit_id in limit_ids if limit_id not in rows]:
        raise invalid(f"there is no limit {', '.join(unknown)}", "invalid_limit_ids")
    return tuple(limit_id for limit_id in asked if limit_id in rows and _refuses(rows[limit_id]))


def existing(connection: Connection, application_id: int, limit_ids: Sequence[str]) -> list[str]:
    """Return those of these limits that there are."""
    rows = _rows(connection, application_id, limit_ids)
    return [limit_id for limit_id in limit_ids if limit_id in rows]


def _automatic(
    connection: Connection, application_id: int, use_case_name: str | None, use_case_id: str | None
) -> list[str]:
    if not use_case_name or not use_case_id:
        return []
    named = {"application": application_id, "named": use_case_name, "named_id": use_case_id}
    found = connection.scalar(_OF_INSTANCE, named)
    return [] if found is None else [found]


def _rows(connection: Connection, application_id: int, limit_ids: Sequence[str]) -> dict[str, RowMapping]:
    if not limit_ids:
        return {}
    named = {"application": application_id, "named": list(limit_ids)}
    return {row["limit_id"]: row for row in connection.execute(_NAMED, named).mappings()}


def _refuses(row: RowMapping) -> bool:
    return row["limit_type"] == limits.BLOCK and limits.spend(row) >= Decimal(row["max"])
