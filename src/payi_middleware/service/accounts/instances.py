"""Use case instances, as their owners see them; `use_cases` has them as requests meet them."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from typing import Any

from sqlalchemy import Connection, RowMapping, and_, delete, select, update

from payi_middleware.service.errors import ServiceError
from payi_middleware.service.store.schema import kpi_scores, limits
from payi_middleware.service.store.schema import use_case_instances as table

from . import definitions, use_cases

__all__ = ["create", "get", "merge_properties", "remove", "required"]


def create(connection: Connection, application_id: int, use_case_name: str) -> dict[str, Any]:
    """Make an instance with an id of its own, and with its limit where its definition says so, and return it.

    Raises:
        ServiceError: 404 `use_case_not_found`.
    """
    known = {use_case_name: definitions.required(connection, application_id, use_case_name)}
    named = use_case_name, str(uuid.uuid4())
    made: dict[tuple[str, str], dict[Any, Any]] = {}
    use_cases.make(connection, application_id, known, made, {named: None})
    return _as_body(made[named])


def get(connection: Connection, application_id: int, use_case_name: str, use_case_id: str) -> dict[str, Any]:
    """Return an instance. A limit that was deleted is not told of.

    Raises:
        ServiceError: 404 `use_case_instance_not_found`.
    """
    return _as_body(required(connection, application_id, use_case_name, use_case_id))


def required(
    connection: Connection, application_id: int, use_case_name: str, use_case_id: str, *, lock: bool = False
) -> RowMapping:
    """Return an instance as it is stored, without a limit that was deleted.

    Args:
        lock: keep others from changing it meanwhile.

    Raises:
        ServiceError: 404 `use_case_instance_not_found`.
    """
    own = and_(limits.c.application_id == table.c.application_id, limits.c.limit_id == table.c.limit_id)
    told = [limits.c.limit_id if column is table.c.limit_id else column for column in table.c]
    query = select(*told).select_from(table.outerjoin(limits, own))
    query = query.where(*_is(application_id, use_case_name, use_case_id))
    if lock:
        query = query.with_for_update(of=table)
    row = connection.execute(query).mappings().one_or_none()
    if row is None:
        raise ServiceError(404, "use_case_instance_not_found", "there is no such instance of this use case")
    return row


def merge_properties(
    connection: Connection,
    application_id: int,
    use_case_name: str,
    use_case_id: str,
    properties: Mapping[str, str | None],
) -> dict[str, Any]:
    """Merge properties into those of an instance, and return it.

    Raises:
        ServiceError: 404 `use_case_instance_not_found`.
    """
    row = required(connection, application_id, use_case_name, use_case_id, lock=True)
    merged = use_cases.merge(row["properties"], properties) or None
    named = _is(application_id, use_case_name, use_case_id)
    connection.execute(update(table).where(*named).values(properties=merged))
    return _as_body(row)


def remove(connection: Connection, application_id: int, use_case_name: str, use_case_id: str) -> dict[str, Any]:
    """Delete an instance with its scores, and return what it was. Its limit and its requests stay.

    Raises:
        ServiceError: 404 `use_case_instance_not_found`.
    """
    row = required(connection, application_id, use_case_name, use_case_id, lock=True)
    of_instance = (
        kpi_scores.c.application_id == application_id,
        kpi_scores.c.use_case_name == use_case_name,
        kpi_scores.c.use_case_id == use_case_id,
    )
    connection.execute(delete(kpi_scores).where(*of_instance))
    connection.execute(delete(table).where(*_is(application_id, use_case_name, use_case_id)))
    return _as_body(row)


def _is(application_id: int, use_case_name: str, use_case_id: str) -> tuple[Any, Any, Any]:
    return (
        table.c.application_id == application_id,
        table.c.use_case_name == use_case_name,
        table.c.use_case_id == use_case_id,
    )


def _as_body(row: Mapping[Any, Any]) -> dict[str, Any]:
    return {name: row[name] for name in ("use_case_id", "use_case_name", "limit_id", "type_version")}
