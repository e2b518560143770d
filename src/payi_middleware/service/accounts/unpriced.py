"""What was used and has no price: resources that nobody knows, and units that a resource has no price of.

It is added up with the rollups, by one process at a time, so that booking a request costs nothing for it. What is here
stays at no cost when a price comes later: money that was reported and charged does not change behind anybody's back.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, bindparam, func, select

from payi_middleware.service.store import clock
from payi_middleware.service.store.schema import requests, unpriced
from payi_middleware.service.store.writing import upsert

__all__ = ["Unpriced", "every", "fold"]

WHOLE = ""
"""Instead of a unit's name: the resource itself is unknown."""
_PRIMARY = ["application_id", "resource_key", "unit"]


@dataclass(frozen=True, slots=True)
class Unpriced:
    """A resource that was used and of which something has no price.

    Args:
        category, resource: as the reports named it; there may be no resource.
        requests: how many had no price at all; 0 where only some units of the resource have none.
        first_seen, last_seen: the times of the first and the last of these events, in UTC.
        units: what was used at no cost, as `{unit: {"input": n, "output": n}}`.
    """

    category: str
    resource: str | None
    requests: int
    first_seen: datetime
    last_seen: datetime
    units: dict[str, dict[str, int]]


_UNPRICED = select(
    requests.c.resource_key,
    requests.c.category,
    requests.c.resource,
    requests.c.resource_id,
    requests.c.event_timestamp,
    requests.c.unknown_units,
).where(
    requests.c.application_id == bindparam("application"),
    requests.c.batch.in_(bindparam("taken", expanding=True)),
    requests.c.unknown_units.is_not(None),
)


def fold(connection: Connection, application_id: int, taken: Sequence[int]) -> None:
    """Add up what these batches have used at no cost; once for each batch, by whoever folds it into the rollups."""
    sums: dict[tuple[int, str], dict[str, Any]] = {}
    for row in connection.execute(_UNPRICED, {"application": application_id, "taken": taken}).mappings():
        own = {} if row["resource_id"] else {WHOLE: {"input": 0, "output": 0}}
        for unit, counts in {**own, **row["unknown_units"]}.items():
            _count(sums, application_id, row, unit, counts)
    if sums:
        _add(connection, [sums[key] for key in sorted(sums)])


def _count(
    sums: dict[tuple[int, str], dict[str, Any]],
    application_id: int,
    row: Mapping[Any, Any],
    unit: str,
    counts: Mapping[str, int],
) -> None:
    at = row["event_timestamp"]
    known = sums.setdefault(
        (row["resource_key"], unit),
        {
            "application_id": application_id,
            "resource_key": row["resource_key"],
            "unit": unit,
            "category": row["category"],
            "resource": row["resource"],
            "requests": 0,
            "input_units": 0,
            "output_units": 0,
            "first_timestamp": at,
            "last_timestamp": at,
        },
    )
    known["requests"] += 1
    known["input_units"] += counts["input"]
    known["output_units"] += counts["output"]
    known["first_timestamp"] = min(known["first_timestamp"], at)
    known["last_timestamp"] = max(known["last_timestamp"], at)


def _add(connection: Connection, rows: list[dict[str, Any]]) -> None:
    adding = upsert(connection.dialect.name, unpriced)
    columns, new = unpriced.c, adding.excluded
    least, most = (func.min, func.max) if connection.dialect.name == "sqlite" else (func.least, func.greatest)
    changed = {
        **{name: columns[name] + new[name] for name in ("requests", "input_units", "output_units")},
        "first_timestamp": least(columns.first_timestamp, new.first_timestamp),
        "last_timestamp": most(columns.last_timestamp, new.last_timestamp),
    }
    connection.execute(adding.on_conflict_do_update(index_elements=_PRIMARY, set_=changed), rows)


def every(connection: Connection, application_id: int, limit: int = 1000) -> list[Unpriced]:
    """Return what was used at no cost, what was seen last first.

    Args:
        limit: at most so many resources.
    """
    columns = unpriced.c
    of_application = columns.application_id == application_id
    lately = func.max(columns.last_timestamp)
    last = select(columns.resource_key).where(of_application).group_by(columns.resource_key)
    keys = list(connection.scalars(last.order_by(lately.desc(), columns.resource_key).limit(limit)))
    rows = connection.execute(
        select(unpriced).where(of_application, columns.resource_key.in_(keys)).order_by(columns.unit)
    ).mappings()
    of: dict[int, list[Mapping[Any, Any]]] = {}
    for row in rows:
        of.setdefault(row["resource_key"], []).append(row)
    return [_unpriced(of[key]) for key in keys]


def _unpriced(rows: Iterable[Mapping[Any, Any]]) -> Unpriced:
    by_unit = {row["unit"]: row for row in rows}
    some = next(iter(by_unit.values()))
    return Unpriced(
        some["category"],
        some["resource"],
        by_unit[WHOLE]["requests"] if WHOLE in by_unit else 0,
        clock.from_micros(min(row["first_timestamp"] for row in by_unit.values())),
        clock.from_micros(max(row["last_timestamp"] for row in by_unit.values())),
        {
            unit: {"input": row["input_units"], "output": row["output_units"]}
            for unit, row in by_unit.items()
            if unit != WHOLE
        },
    )
