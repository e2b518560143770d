"""Use case definitions: https://docs.pay-i.com/docs/use-cases"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sqlalchemy import Connection, RowMapping, delete, insert, select, update

from payi_middleware.service.errors import ServiceError, invalid
from payi_middleware.service.store import clock
from payi_middleware.service.store.schema import kpi_scores, kpis
from payi_middleware.service.store.schema import use_case_definitions as table

from .pages import Asked, Page, page

__all__ = ["as_body", "change", "create", "get", "increment_version", "remove", "required", "some"]


def create(
    connection: Connection,
    application_id: int,
    name: str,
    description: str,
    limit_config: Mapping[str, Any] | None,
    logging_enabled: bool,
) -> dict[str, Any]:
    """Make a definition, and return it.

    Args:
        limit_config: the settings of the limit that each new instance gets, if it gets one.
        logging_enabled: whether prompts and answers are kept.

    Raises:
        ServiceError: 400 `use_case_already_exists`; a request that names a use case makes it, too.
    """
    if _find(connection, application_id, name) is not None:
        raise invalid(f"a use case named {name} exists", "use_case_already_exists")
    now = clock.micros(clock.now())
    row = {
        "application_id": application_id,
        "use_case_name": name,
        "description": description,
        "logging_enabled": logging_enabled,
        "type_version": 1,
        "limit_config": limit_config,
        "created_timestamp": now,
        "updated_timestamp": now,
    }
    connection.execute(insert(table), row)
    return as_body(row)


def some(
    connection: Connection, application_id: int, asked: Asked, use_case_name: str | None = None
) -> Page[dict[str, Any]]:
    """Return a page of the definitions.

    Args:
        use_case_name: only the one of this name.
    """
    query = select(table).where(table.c.application_id == application_id)
    if use_case_name is not None:
        query = query.where(table.c.use_case_name == use_case_name)
    found = page(connection, query, table.c.created_timestamp, table.c.use_case_name, asked)
    return Page([as_body(row) for row in found.items], found.last)


def get(connection: Connection, application_id: int, name: str) -> dict[str, Any]:
    """Return a definition.

    Raises:
        ServiceError: 404 `use_case_not_found`.
    """
    return as_body(required(connection, application_id, name))


def required(connection: Connection, application_id: int, name: str) -> RowMapping:
    """Return a definition as it is stored.

    Raises:
        ServiceError: 404 `use_case_not_found`.
    """
    row = _find(connection, application_id, name)
    if row is None:
        raise ServiceError(404, "use_case_not_found", f"there is no use case {name}")
    return row


def change(connection: Connection, application_id: int, name: str, changes: Mapping[str, Any]) -> dict[str, Any]:
    """Change a definition, and return it.

    Args:
        changes: new values of `description`, `logging_enabled`, `limit_config`.

    Raises:
        ServiceError: 404 `use_case_not_found`.
    """
    if changes:
        _write(connection, application_id, name, changes)
    return get(connection, application_id, name)


def increment_version(connection: Connection, application_id: int, name: str) -> dict[str, Any]:
    """Begin a definition's next version, and return it. New instances belong to it unless their request names another.

    Raises:
        ServiceError: 404 `use_case_not_found`.
    """
    _write(connection, application_id, name, {"type_version": table.c.type_version + 1})
    return get(connection, application_id, name)


def remove(connection: Connection, application_id: int, name: str) -> dict[str, Any]:
    """Delete a definition with its KPIs and their scores, and return what it was.

    Its requests, its instances and their limits stay. A request that names it makes it anew.

    Raises:
        ServiceError: 404 `use_case_not_found`.
    """
    body = get(connection, application_id, name)
    for of in (kpi_scores, kpis, table):
        connection.execute(delete(of).where(of.c.application_id == application_id, of.c.use_case_name == name))
    return body


def _find(connection: Connection, application_id: int, name: str) -> RowMapping | None:
    named = table.c.application_id == application_id, table.c.use_case_name == name
    return connection.execute(select(table).where(*named)).mappings().one_or_none()


def _write(connection: Connection, application_id: int, name: str, changes: Mapping[str, Any]) -> None:
    named = table.c.application_id == application_id, table.c.use_case_name == name
    now = clock.micros(clock.now())
    connection.execute(update(table).where(*named).values(**changes, updated_timestamp=now))


def as_body(row: Mapping[Any, Any]) -> dict[str, Any]:
    """Write a definition the way Pay-i's answers do."""
    return {
        "name": row["use_case_name"],
        "description": row["description"],
        "limit_config": row["limit_config"],
        "logging_enabled": row["logging_enabled"],
        "type_version": row["type_version"],
    }
