"""Use cases: their definitions, instances, KPIs, and the scores that instances got."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from typing import Any, NamedTuple

from sqlalchemy import Float, RowMapping, case, cast, func, select, tuple_

from payi_middleware.service.store.schema import kpi_scores, kpis, use_case_definitions, use_case_instances

from .view import View

__all__ = [
    "INSTANCES",
    "InstanceCursor",
    "Kpi",
    "Scores",
    "as_number",
    "definition",
    "definitions",
    "instance",
    "instances",
    "kpis_of",
    "scores_of",
]

INSTANCES = 50
"""Instances on a page."""
_definitions, _instances = use_case_definitions, use_case_instances


class InstanceCursor(NamedTuple):
    """The instance that a page ends with."""

    created_timestamp: int
    use_case_id: str

    @classmethod
    def parse(cls, text: str) -> InstanceCursor | None:
        """Read what `str` wrote; None of anything else."""
        time, _, use_case_id = text.partition("-")
        return cls(int(time), use_case_id) if time.isdecimal() and len(time) < 19 and use_case_id else None

    def __str__(self) -> str:
        return f"{self.created_timestamp}-{self.use_case_id}"


@dataclass(frozen=True, slots=True)
class Scores:
    """What the scores of those instances amount to that were made under one version of their use case.

    Args:
        version: that one; None without any scores.
        scored: instances that have a score.
        mean: of their scores; None without any.
        reached: how many of them have reached the goal.
    """

    version: int | None = None
    scored: int = 0
    mean: float | None = None
    reached: int = 0


@dataclass(frozen=True, slots=True)
class Kpi:
    """A KPI of a use case, and the scores of its instances.

    Args:
        goal: what instances should reach.
        scores: by version, the newest first; one of none where nothing has been scored.
    """

    name: str
    description: str
    type: str
    goal: Decimal | None
    scores: Sequence[Scores]


def definitions(view: View) -> Sequence[RowMapping]:
    """Return the use cases by name."""
    query = select(_definitions).where(_definitions.c.application_id == view.application_id)
    return view.connection.execute(query.order_by(_definitions.c.use_case_name)).mappings().all()


def definition(view: View, name: str) -> RowMapping | None:
    """Return a use case."""
    own = _definitions.c.application_id == view.application_id, _definitions.c.use_case_name == name
    return view.connection.execute(select(_definitions).where(*own)).mappings().one_or_none()


def instances(
    view: View, name: str, after: InstanceCursor | None = None, limit: int = INSTANCES
) -> Sequence[RowMapping]:
    """Return a use case's instances, the newest first."""
    columns = _instances.c
    query = (
        select(_instances)
        .where(columns.application_id == view.application_id, columns.use_case_name == name)
        .order_by(columns.created_timestamp.desc(), columns.use_case_id.desc())
    )
    if after is not None:
        query = query.where(
            tuple_(columns.created_timestamp, columns.use_case_id) < tuple_(*after),
            columns.created_timestamp <= after.created_timestamp,
        )
    return view.connection.execute(query.limit(limit)).mappings().all()


def instance(view: View, name: str, use_case_id: str) -> RowMapping | None:
    """Return an instance."""
    own = (
        _instances.c.application_id == view.application_id,
        _instances.c.use_case_name == name,
        _instances.c.use_case_id == use_case_id,
    )
    return view.connection.execute(select(_instances).where(*own)).mappings().one_or_none()


def kpis_of(view: View, name: str) -> list[Kpi]:
    """Return the KPIs of a use case, with what the scores of its instances amount to."""
    own = kpis.c.application_id == view.application_id, kpis.c.use_case_name == name
    found = view.connection.execute(select(kpis).where(*own).order_by(kpis.c.kpi_name)).mappings().all()
    goals = {row["kpi_name"]: as_number(row["goal"]) for row in found}
    scores = _scores(view, name, goals) if found else {}
    return [
        Kpi(
            row["kpi_name"],
            row["description"],
            row["kpi_type"],
            goals[row["kpi_name"]],
            scores.get(row["kpi_name"], [Scores()]),
        )
        for row in found
    ]


def _scores(view: View, name: str, goals: Mapping[str, Decimal | None]) -> dict[str, list[Scores]]:
    columns = kpi_scores.c
    text = func.lower(columns.score)
    number = cast(case((text == "true", "1"), (text == "false", "0"), else_=columns.score), Float)
    goal = case(
        *((columns.kpi_name == kpi, float(goal)) for kpi, goal in goals.items() if goal is not None), else_=None
    )
    query = (
        select(
            columns.kpi_name,
            columns.type_version,
            func.count().label("scored"),
            func.avg(number).label("mean"),
            func.sum(case((number >= goal, 1), else_=0)).label("reached"),
        )
        .where(columns.application_id == view.application_id, columns.use_case_name == name, columns.score.is_not(None))
        .group_by(columns.kpi_name, columns.type_version)
        .order_by(columns.type_version.desc())
    )
    found: dict[str, list[Scores]] = {}
    for row in view.connection.execute(query):
        scores = Scores(row.type_version, row.scored, row.mean, int(row.reached))
        found.setdefault(row.kpi_name, []).append(scores)
    return found


def scores_of(view: View, name: str, use_case_ids: Iterable[str]) -> dict[str, dict[str, Any]]:
    """Return the rows of scores, by instance and KPI."""
    columns = kpi_scores.c
    query = select(kpi_scores).where(
        columns.application_id == view.application_id,
        columns.use_case_name == name,
        columns.use_case_id.in_(list(use_case_ids)),
    )
    found: dict[str, dict[str, Any]] = {}
    for row in view.connection.execute(query).mappings():
        found.setdefault(row["use_case_id"], {})[row["kpi_name"]] = row
    return found


def as_number(text: str | None) -> Decimal | None:
    """Read a goal or a score: a number, or "true" or "false"."""
    if text is None:
        return None
    try:
        return Decimal({"true": "1", "false": "0"}.get(text.lower(), text))
    except InvalidOperation:
        return None
