"""Limits: https://docs.pay-i.com/docs/limit-apis"""

from __future__ import annotations

from typing import Any

from starlette.responses import Response

from payi_middleware.service.accounts import limit_changes, limits

from .bodies import answer, new_request_id
from .models.common import Done, PropertiesRequest
from .models.limits import (
    Limit,
    LimitCreate,
    LimitHistoryResponse,
    LimitResponse,
    LimitsQuery,
    LimitUpdate,
    ResetQuery,
)
from .paging import PageOf, answer_page, asked
from .routing import Route
from .service import Call

__all__ = ["ROUTES"]

_LIST = "limits"


def _body(limit: dict[str, Any]) -> dict[str, Any]:
    return {"limit": limit, "request_id": new_request_id()}


async def create(call: Call, body: LimitCreate) -> Response:
    """Make a limit, or return the one that has its id, if maximum and threshold are the same."""
    new = limits.parse_limit(
        limit_name=body.limit_name,
        maximum=body.max,
        limit_id=body.limit_id,
        limit_type=body.limit_type,
        threshold=body.threshold,
        properties=body.properties,
    )
    return answer(_body(await call.write(limits.create, new)))


async def listed(call: Call, query: LimitsQuery) -> Response:
    """List the limits."""
    return answer_page(await call.read(limit_changes.some, asked(query, _LIST), query.limit_name), _LIST)


async def retrieve(call: Call, limit_id: str) -> Response:
    """Return a limit with what it was charged with."""
    return answer(_body(await call.read(limits.get, limit_id)))


async def update(call: Call, limit_id: str, body: LimitUpdate) -> Response:
    """Give a limit another name or maximum."""
    maximum = None if body.max is None else limits.parse_max(body.max)
    return answer(_body(await call.write(limit_changes.change, limit_id, body.limit_name, maximum)))


async def delete(call: Call, limit_id: str) -> Response:
    """Delete a limit. What it was charged with stays in the requests."""
    await call.write(limit_changes.remove, limit_id)
    return answer({"request_id": new_request_id()})


async def reset(call: Call, limit_id: str, query: ResetQuery) -> Response:
    """End a limit's period and answer what it was charged with in it. The next one begins with nothing."""
    history = await call.write(limit_changes.reset, limit_id, query.reset_date)
    return answer({"limit_history": history, "request_id": new_request_id()})


async def properties(call: Call, limit_id: str, body: PropertiesRequest) -> Response:
    """Merge properties into those of a limit; null takes one away. They are not shown in any answer."""
    return answer([_body(await call.write(limit_changes.merge_properties, limit_id, body.properties))])


_NOT_FOUND = {404: ("limit_not_found",)}
_LIMITS = "/api/v1/limits"
_LIMIT = f"{_LIMITS}/{{limit_id}}"

ROUTES = (
    Route(
        "POST",
        _LIMITS,
        create,
        body=LimitCreate,
        answer=LimitResponse,
        errors={400: ("create_limit_validation_failed", "invalid_max_limit", "limit_name_already_exist")},
    ),
    Route("GET", _LIMITS, listed, query=LimitsQuery, answer=PageOf[Limit]),
    Route("GET", _LIMIT, retrieve, answer=LimitResponse, errors=_NOT_FOUND),
    Route(
        "PUT",
        _LIMIT,
        update,
        body=LimitUpdate,
        answer=LimitResponse,
        errors={
            **_NOT_FOUND,
            400: (
                "update_limit_validation_failed",
                "invalid_max_limit",
                "invalid_max_limit_update",
                "limit_name_already_exist",
            ),
        },
    ),
    Route("DELETE", _LIMIT, delete, answer=Done, errors=_NOT_FOUND),
    Route("POST", f"{_LIMIT}/reset", reset, query=ResetQuery, answer=LimitHistoryResponse, errors=_NOT_FOUND),
    Route(
        "PUT",
        f"{_LIMIT}/properties",
        properties,
        body=PropertiesRequest,
        answer=list[LimitResponse],
        errors=_NOT_FOUND,
    ),
)
