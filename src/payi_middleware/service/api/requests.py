"""Requests that were booked: their results, and their properties."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from starlette.responses import Response

from payi_middleware.service.accounts import records
from payi_middleware.service.errors import ServiceError

from .bodies import answer
from .models.common import PropertiesRequest
from .models.results import RequestResponse, RequestResult
from .routing import Route
from .service import Call

__all__ = ["ROUTES"]


async def result(call: Call, request_id: str) -> Response:
    """Return the result of a request."""
    return _result(await call.read(records.find, request_id))


async def provider_result(call: Call, category: str, provider_response_id: str) -> Response:
    """Return the result of the request that a provider's response was booked as."""
    return _result(await call.read(records.find_response, category, provider_response_id))


async def properties(call: Call, request_id: str, body: PropertiesRequest) -> Response:
    """Merge properties into those of a request; null takes one away."""
    return _changed(await call.write(records.merge_properties, records.find, (request_id,), body.properties))


async def provider_properties(
    call: Call, category: str, provider_response_id: str, body: PropertiesRequest
) -> Response:
    """Merge properties into those of the request that a provider's response was booked as."""
    named = category, provider_response_id
    return _changed(await call.write(records.merge_properties, records.find_response, named, body.properties))


def _result(row: Mapping[Any, Any] | None) -> Response:
    if row is None:
        raise _nothing()
    return answer({"xproxy_result": records.result_of(row)})


def _changed(request_id: str | None) -> Response:
    if request_id is None:
        raise _nothing()
    return answer({"request_id": request_id})


def _nothing() -> ServiceError:
    return ServiceError(404, "request_processing_error", "there is no such request")


_NOT_FOUND = {404: ("request_processing_error",)}
_REQUEST = "/api/v1/requests/{request_id}"
_OF_PROVIDER = "/api/v1/requests/provider/{category}/{provider_response_id}"

ROUTES = (
    Route("GET", f"{_REQUEST}/result", result, answer=RequestResult, errors=_NOT_FOUND),
    Route("GET", f"{_OF_PROVIDER}/result", provider_result, answer=RequestResult, errors=_NOT_FOUND),
    Route(
        "PUT",
        f"{_REQUEST}/properties",
        properties,
        body=PropertiesRequest,
        answer=RequestResponse,
        errors=_NOT_FOUND,
    ),
    Route(
        "PUT",
        f"{_OF_PROVIDER}/properties",
        provider_properties,
        body=PropertiesRequest,
        answer=RequestResponse,
        errors=_NOT_FOUND,
    ),
)
