"""Use case instances: made by the first event that names them."""

from __future__ import annotations

from collections.abc import Mapping

from sqlalchemy import Connection, bindparam, insert, select, update

from .schema import use_case_instances as instances

_FIND = select(instances.c.id, instances.c.properties).where(
    instances.c.use_case_name == bindparam("named"), instances.c.use_case_id == bindparam("named_id")
)
_INSERT = insert(instances)


def touch(connection: Connection, name: str, use_case_id: str, properties: Mapping[str, str | None], now: str) -> None:
    """Make an instance unless it is there, and merge properties into its own; a null takes a key away.

    Args:
        name, use_case_id: the instance; ids are free text and the caller's choice.
        properties: what to merge.
        now: the time of a new instance's creation.
    """
    known = connection.execute(_FIND, {"named": name, "named_id": use_case_id}).one_or_none()
    merged = merge(known.properties if known else None, properties)
    if known is None:
        values = {"use_case_name": name, "use_case_id": use_case_id, "properties": merged, "created_timestamp": now}
        connection.execute(_INSERT, values)
    elif merged != (known.properties or {}):
        connection.execute(update(instances).where(instances.c.id == known.id).values(properties=merged))


def merge(old: Mapping[str, str] | None, new: Mapping[str, str | None]) -> dict[str, str]:
    """Return properties with others merged in: https://docs.pay-i.com/docs/limit-properties"""
    merged = {**(old or {}), **new}
    return {key: value for key, value in merged.items() if value is not None}
