"""KPIs: what a use case is measured by: https://docs.pay-i.com/docs/use-case-kpis"""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from sqlalchemy import Connection, RowMapping, delete, insert, select, update

from payi_middleware.service.errors import ServiceError, invalid
from payi_middleware.service.store import clock
from payi_middleware.service.store.money import as_decimal, plain
from payi_middleware.service.store.schema import kpi_scores, kpis

from . import definitions
from .pages import Asked, Page, page

__all__ = ["BOOLEAN", "RANGES", "change", "create", "get", "named", "remove", "required", "some", "within"]

_LARGEST = Decimal(10) ** 15
BOOLEAN = "boolean"
RANGES: dict[str, tuple[Decimal, Decimal]] = {
    BOOLEAN: (Decimal(0), Decimal(1)),
    "number": (-_LARGEST, _LARGEST),
    "percentage": (Decimal(0), Decimal(100)),
    "likert5": (Decimal(1), Decimal(5)),
    "likert7": (Decimal(1), Decimal(7)),
    "likert10": (Decimal(1), Decimal(10)),
}
"""From where to where scores and goals of each type go."""


def create(
    connection: Connection,
    application_id: int,
    use_case_name: str,
    *,
    kpi_name: str,
    description: str,
    kpi_type: str,
    goal: float,
) -> dict[str, Any]:
    """Make a KPI, and return it.

    Raises:
        ServiceError: 404 `use_case_not_found`; 400 `kpi_already_exists`, `invalid_kpi_goal`.
    """
    definitions.required(connection, application_id, use_case_name)
    if _find(connection, application_id, use_case_name, kpi_name) is not None:
        raise invalid("a KPI of this name exists", "kpi_already_exists")
    now = clock.micros(clock.now())
    row = {
        "application_id": application_id,
        "use_case_name": use_case_name,
        "kpi_name": kpi_name,
        "description": description,
        "kpi_type": kpi_type,
        "goal": within(kpi_type, goal, "goal"),
        "created_timestamp": now,
        "updated_timestamp": now,
    }
    connection.execute(insert(kpis), row)
    return _as_body(row)


def some(
    connection: Connection, application_id: int, use_case_name: str, asked: Asked, kpi_name: str | None = None
) -> Page[dict[str, Any]]:
    """Return a page of a use case's KPIs.

    Args:
        kpi_name: only the one of this name.

    Raises:
        ServiceError: 404 `use_case_not_found`.
    """
    definitions.required(connection, application_id, use_case_name)
    query = select(kpis).where(kpis.c.application_id == application_id, kpis.c.use_case_name == use_case_name)
    if kpi_name is not None:
        query = query.where(kpis.c.kpi_name == kpi_name)
    found = page(connection, query, kpis.c.created_timestamp, kpis.c.kpi_name, asked)
    return Page([_as_body(row) for row in found.items], found.last)


def get(connection: Connection, application_id: int, use_case_name: str, kpi_name: str) -> dict[str, Any]:
    """Return a KPI.

    Raises:
        ServiceError: 404 `use_case_not_found`, `kpi_not_found`.
    """
    definitions.required(connection, application_id, use_case_name)
    return _as_body(required(connection, application_id, use_case_name, kpi_name))


def change(
    connection: Connection,
    application_id: int,
    use_case_name: str,
    kpi_name: str,
    description: str | None,
    goal: float | None,
) -> dict[str, Any]:
    """Give a KPI another description or goal, and return it.

    Raises:
        ServiceError: 404 `use_case_not_found`, `kpi_not_found`; 400 `invalid_kpi_goal`.
    """
    known = get(connection, application_id, use_case_name, kpi_name)
    changes = {} if description is None else {"description": description}
    if goal is not None:
        changes["goal"] = within(known["kpi_type"], goal, "goal")
    if changes:
        now = clock.micros(clock.now())
        own = named(kpis, application_id, use_case_name, kpi_name)
        connection.execute(update(kpis).where(*own).values(**changes, updated_timestamp=now))
    return get(connection, application_id, use_case_name, kpi_name)


def remove(connection: Connection, application_id: int, use_case_name: str, kpi_name: str) -> dict[str, Any]:
    """Delete a KPI with its scores, and return what it was.

    Raises:
        ServiceError: 404 `use_case_not_found`, `kpi_not_found`.
    """
    body = get(connection, application_id, use_case_name, kpi_name)
    for table in (kpi_scores, kpis):
        connection.execute(delete(table).where(*named(table, application_id, use_case_name, kpi_name)))
    return body


def within(kpi_type: str, value: float, what: str) -> str:
    """Return a score or goal as it is stored.

    Args:
        what: "score" or "goal".

    Raises:
        ServiceError: 400 `invalid_kpi_score` or `invalid_kpi_goal`, it is out of the range of the KPI's type.
    """
    least, most = RANGES[kpi_type]
    number = as_decimal(value)
    if number is None:
        raise invalid(f"the {what} of a KPI of type {kpi_type} is a number", f"invalid_kpi_{what}")
    if not least <= number <= most:
        raise invalid(f"the {what} of a KPI of type {kpi_type} is from {least:f} to {most:f}", f"invalid_kpi_{what}")
    return f"{plain(number)}"


def _find(connection: Connection, application_id: int, use_case_name: str, kpi_name: str) -> RowMapping | None:
    own = named(kpis, application_id, use_case_name, kpi_name)
    return connection.execute(select(kpis).where(*own)).mappings().one_or_none()


def required(connection: Connection, application_id: int, use_case_name: str, kpi_name: str) -> RowMapping:
    """Return a KPI as it is stored.

    Raises:
        ServiceError: 404 `kpi_not_found`.
    """
    row = _find(connection, application_id, use_case_name, kpi_name)
    if row is None:
        raise ServiceError(404, "kpi_not_found", "this use case has no such KPI")
    return row


def named(table: Any, application_id: int, use_case_name: str, kpi_name: str) -> tuple[Any, Any, Any]:
    """Return what is true of the rows of a KPI, in a table of KPIs or scores."""
    return (
        table.c.application_id == application_id,
        table.c.use_case_name == use_case_name,
        table.c.kpi_name == kpi_name,
    )


def _as_body(row: Mapping[Any, Any]) -> dict[str, Any]:
    return {
        "name": row["kpi_name"],
        "description": row["description"],
        "kpi_type": row["kpi_type"],
        "goal": Decimal(row["goal"]),
        "created_timestamp": clock.as_text(row["created_timestamp"]),
        "updated_timestamp": clock.as_text(row["updated_timestamp"]),
    }
