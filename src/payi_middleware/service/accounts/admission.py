"""Whether a call may be made: what its limits have been charged with so far."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any

from sqlalchemy import Connection, and_, bindparam, select

from payi_middleware.service.errors import invalid
from payi_middleware.service.store.reading import Reads, Rows
from payi_middleware.service.store.schema import limits as limits_table
from payi_middleware.service.store.schema import use_case_instances as instances
from payi_middleware.service.store.writing import padded

from . import limits

__all__ = ["existing", "refusing"]

_NAMED = select(limits_table).where(
    limits_table.c.application_id == bindparam("application"),
    limits_table.c.limit_id.in_(bindparam("named", expanding=True)),
)
_OF_INSTANCE = (
    select(limits_table)
    .join(
        instances,
        and_(
            instances.c.application_id == limits_table.c.application_id, instances.c.limit_id == limits_table.c.limit_id
        ),
    )
    .where(
        instances.c.application_id == bindparam("application"),
        instances.c.use_case_name == bindparam("named"),
        instances.c.use_case_id == bindparam("named_id"),
    )
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
    reads = Reads(connection)
    named = _ask(reads, application_id, limit_ids)
    automatic = _ask_automatic(reads, application_id, use_case_name, use_case_id)
    reads.send()
    rows = {row["limit_id"]: row for row in (*named, *automatic)}
    if unknown := [limit_id for limit_id in limit_ids if limit_id not in rows]:
        raise invalid(f"there is no limit {', '.join(unknown)}", "invalid_limit_ids")
    asked = dict.fromkeys((*limit_ids, *rows))
    return tuple(limit_id for limit_id in asked if _refuses(rows[limit_id]))


def existing(connection: Connection, application_id: int, limit_ids: Sequence[str]) -> list[str]:
    """Return those of these limits that there are."""
    reads = Reads(connection)
    rows = _ask(reads, application_id, limit_ids)
    reads.send()
    there = {row["limit_id"] for row in rows}
    return [limit_id for limit_id in limit_ids if limit_id in there]


def _ask(reads: Reads, application_id: int, limit_ids: Sequence[str]) -> Rows:
    return reads.ask(_NAMED, {"application": application_id, "named": padded(limit_ids)}) if limit_ids else []


def _ask_automatic(reads: Reads, application_id: int, use_case_name: str | None, use_case_id: str | None) -> Rows:
    if not use_case_name or not use_case_id:
        return []
    return reads.ask(_OF_INSTANCE, {"application": application_id, "named": use_case_name, "named_id": use_case_id})


def _refuses(row: Mapping[Any, Any]) -> bool:
    return row["limit_type"] == limits.BLOCK and limits.spend(row) >= Decimal(row["max"])
