"""Bodies of KPIs and scores: https://docs.pay-i.com/docs/use-case-kpis"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, ClassVar, Literal

from pydantic import Field

from payi_middleware.service.api.paging import PageQuery
from payi_middleware.service.api.reading import Body, QueryText

from .common import Answer, Name, Time, Words

KpiType = Literal["boolean", "number", "percentage", "likert5", "likert7", "likert10"]
_GOAL = "Within the range of its type: percentage 0 to 100, likertN 1 to N, boolean 0 to 1."


class KpiCreate(Body):
    """A KPI to be made."""

    codes: ClassVar[Mapping[str, str]] = {"goal": "invalid_kpi_goal"}

    # An entry of PostgreSQL's index has room for 2,704 bytes, and a score's is found by the name of its instance, too.
    name: Annotated[Name, Field(min_length=1, max_length=128, description="Unique in its use case.")]
    description: Words
    goal: Annotated[float, Field(description=_GOAL)]
    kpi_type: KpiType


class KpiUpdate(Body):
    """What changes of a KPI."""

    codes: ClassVar[Mapping[str, str]] = KpiCreate.codes

    description: Words | None = None
    goal: Annotated[float | None, Field(description=_GOAL)] = None


class KpisQuery(PageQuery):
    """Which KPIs or scores."""

    kpi_name: Annotated[QueryText, Field(description="Only that of exactly this name.")] = None


class ScoreUpdate(Body):
    """How an instance scores."""

    codes: ClassVar[Mapping[str, str]] = dict.fromkeys(("score", "score.bool", "score.float"), "invalid_kpi_score")

    score: Annotated[bool | float | None, Field(description="None takes back what was set.")] = None


class Kpi(Answer):
    """A KPI."""

    name: str
    description: str
    kpi_type: KpiType
    goal: float
    created_timestamp: Time
    updated_timestamp: Time
    request_id: str


class KpiScore(Answer):
    """How an instance scores."""

    kpi_name: str
    kpi_type: KpiType
    score: Annotated[float | None, Field(description="A boolean is 0 or 1.")]
    create_timestamp: Time
    update_timestamp: Time
