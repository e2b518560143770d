"""KPIs of use cases, and the scores of their instances: https://docs.pay-i.com/docs/use-case-kpis"""

from __future__ import annotations

from typing import Any

from starlette.responses import Response

from payi_middleware.service.accounts import kpis, scores

from .bodies import answer, new_request_id
from .models.kpis import Kpi, KpiCreate, KpiScore, KpisQuery, KpiUpdate, ScoreUpdate
from .paging import PageOf, answer_page, asked
from .routing import Route
from .service import Call

__all__ = ["ROUTES"]

_LIST = "kpis"
_SCORES = "scores"


def _body(kpi: dict[str, Any]) -> dict[str, Any]:
    return {**kpi, "request_id": new_request_id()}


async def create(call: Call, use_case_name: str, body: KpiCreate) -> Response:
    """Give a use case a KPI."""
    made = await call.write(
        kpis.create,
        use_case_name,
        kpi_name=body.name,
        description=body.description,
        kpi_type=body.kpi_type,
        goal=body.goal,
    )
    return answer(_body(made))


async def listed(call: Call, use_case_name: str, query: KpisQuery) -> Response:
    """List the KPIs of a use case."""
    found = await call.read(kpis.some, use_case_name, asked(query, _LIST), query.kpi_name)
    return answer_page(found, _LIST, _body)


async def retrieve(call: Call, use_case_name: str, kpi_name: str) -> Response:
    """Return a KPI."""
    return answer(_body(await call.read(kpis.get, use_case_name, kpi_name)))


async def update(call: Call, use_case_name: str, kpi_name: str, body: KpiUpdate) -> Response:
    """Give a KPI another description or goal."""
    return answer(_body(await call.write(kpis.change, use_case_name, kpi_name, body.description, body.goal)))


async def delete(call: Call, use_case_name: str, kpi_name: str) -> Response:
    """Delete a KPI with its scores."""
    return answer(_body(await call.write(kpis.remove, use_case_name, kpi_name)))


async def list_scores(call: Call, use_case_name: str, use_case_id: str, query: KpisQuery) -> Response:
    """List how an instance scores, by the KPIs that were ever set."""
    found = await call.read(scores.some, use_case_name, use_case_id, asked(query, _SCORES), query.kpi_name)
    return answer_page(found, _SCORES)


async def set_score(call: Call, use_case_name: str, use_case_id: str, kpi_name: str, body: ScoreUpdate) -> Response:
    """Set how an instance scores; the last one counts."""
    await call.write(scores.set_score, use_case_name, use_case_id, kpi_name, body.score)
    return Response(status_code=204)


_NO_USE_CASE = {404: ("use_case_not_found",)}
_NOT_FOUND = {404: ("use_case_not_found", "kpi_not_found")}
_KPIS = "/api/v1/use_cases/definitions/{use_case_name}/kpis"
_KPI = f"{_KPIS}/{{kpi_name}}"
_OF_INSTANCE = "/api/v1/use_cases/instances/{use_case_name}/{use_case_id}/kpis"

ROUTES = (
    Route(
        "POST",
        _KPIS,
        create,
        body=KpiCreate,
        answer=Kpi,
        errors={**_NO_USE_CASE, 400: ("kpi_already_exists", "invalid_kpi_goal")},
    ),
    Route("GET", _KPIS, listed, query=KpisQuery, answer=PageOf[Kpi], errors=_NO_USE_CASE),
    Route("GET", _KPI, retrieve, answer=Kpi, errors=_NOT_FOUND),
    Route("PUT", _KPI, update, body=KpiUpdate, answer=Kpi, errors={**_NOT_FOUND, 400: ("invalid_kpi_goal",)}),
    Route("DELETE", _KPI, delete, answer=Kpi, errors=_NOT_FOUND),
    Route(
        "GET",
        _OF_INSTANCE,
        list_scores,
        query=KpisQuery,
        answer=PageOf[KpiScore],
        errors={404: ("use_case_instance_not_found",)},
    ),
    Route(
        "PUT",
        f"{_OF_INSTANCE}/{{kpi_name}}",
        set_score,
        body=ScoreUpdate,
        errors={404: ("use_case_instance_not_found", "kpi_not_found"), 400: ("invalid_kpi_score",)},
    ),
)
