"""How the instances of a use case score by its KPIs: https://docs.pay-i.com/docs/use-case-kpis"""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from sqlalchemy import Connection, and_, select

from payi_middleware.service.errors import invalid
from payi_middleware.service.store import clock
from payi_middleware.service.store.schema import kpi_scores as table
from payi_middleware.service.store.schema import kpis as kpis_table
from payi_middleware.service.store.writing import upsert

from . import instances, kpis
from .pages import Asked, Page, page

__all__ = ["set_score", "some"]


def set_score(
    connection: Connection,
    application_id: int,
    use_case_name: str,
    use_case_id: str,
    kpi_name: str,
    value: bool | float | None,
) -> None:
    """Set how an instance scores; the last one counts.

    Args:
        value: within the range of the KPI's type; None takes back what was set.

    Raises:
        ServiceError: 404 `use_case_instance_not_found`, `kpi_not_found`; 400 `invalid_kpi_score`.
    """
    instance = instances.required(connection, application_id, use_case_name, use_case_id)
    kpi = kpis.required(connection, application_id, use_case_name, kpi_name)
    now = clock.micros(clock.now())
    row = {
        "application_id": application_id,
        "use_case_name": use_case_name,
        "use_case_id": use_case_id,
        "kpi_name": kpi_name,
        "score": None if value is None else _scored(kpi["kpi_type"], value),
        "type_version": instance["type_version"],
        "created_timestamp": now,
        "updated_timestamp": now,
    }
    setting = upsert(connection.dialect.name, table).values(row)
    changed = {"score": setting.excluded.score, "updated_timestamp": setting.excluded.updated_timestamp}
    connection.execute(setting.on_conflict_do_update(index_elements=list(table.primary_key), set_=changed))


def some(
    connection: Connection,
    application_id: int,
    use_case_name: str,
    use_case_id: str,
    asked: Asked,
    kpi_name: str | None = None,
) -> Page[dict[str, Any]]:
    """Return a page of an instance's scores: of the KPIs that were ever set.

    Args:
        kpi_name: only that of the KPI of this name.

    Raises:
        ServiceError: 404 `use_case_instance_not_found`.
    """
    instances.required(connection, application_id, use_case_name, use_case_id)
    columns = table.c
    of = and_(*(kpis_table.c[name] == columns[name] for name in ("application_id", "use_case_name", "kpi_name")))
    query = (
        select(table, kpis_table.c.kpi_type)
        .join(kpis_table, of)
        .where(
            columns.application_id == application_id,
            columns.use_case_name == use_case_name,
            columns.use_case_id == use_case_id,
        )
    )
    if kpi_name is not None:
        query = query.where(columns.kpi_name == kpi_name)
    found = page(connection, query, columns.created_timestamp, columns.kpi_name, asked)
    return Page([_as_body(row) for row in found.items], found.last)


def _scored(kpi_type: str, value: bool | float) -> str:
    if kpi_type == kpis.BOOLEAN:
        if value not in (0, 1):
            raise invalid("the score of a boolean KPI is true or false", "invalid_kpi_score")
        return str(int(value))
    return kpis.within(kpi_type, value, "score")


def _as_body(row: Mapping[Any, Any]) -> dict[str, Any]:
    return {
        "kpi_name": row["kpi_name"],
        "kpi_type": row["kpi_type"],
        "score": None if row["score"] is None else Decimal(row["score"]),
        "create_timestamp": clock.as_text(row["created_timestamp"]),
        "update_timestamp": clock.as_text(row["updated_timestamp"]),
    }
