"""Whether an answer is what the API's description says."""

from __future__ import annotations

import json
from functools import cache
from typing import Any

import httpx
from pydantic import TypeAdapter

from payi_middleware.service.api.models.common import ApiError
from payi_middleware.service.api.routing import Route, find
from payi_middleware.service.app import ROUTES
from payi_middleware.service.errors import ServiceError

GENERAL = {401: {"invalid_api_key"}, 413: {"request_processing_error"}, 405: {"request_processing_error"}}
EVERYWHERE = {"request_processing_error", "required_field_missing", "invalid_json"}


@cache
def _reader(answer: Any) -> TypeAdapter[Any]:
    return TypeAdapter(answer)


def conforms(response: httpx.Response) -> None:
    """Compare an answer with the route that it is of."""
    response.read()
    assert "Traceback" not in response.text
    if response.is_error:
        error = ApiError.model_validate_json(response.content)
        assert error.statusCode == response.status_code
        assert error.message == error.xproxy_error.message
    raw = response.request.url.raw_path.decode().partition("?")[0]
    try:
        route, _ = find(ROUTES, raw.split("/")[1:], response.request.method)
    except ServiceError:
        return
    if not response.is_error:
        _succeeds(route, response)
    elif response.status_code in (400, 404):
        code = response.json()["xproxy_error"]["code"]
        own = route.errors.get(response.status_code, ())
        assert code in own or (response.status_code == 400 and code in EVERYWHERE), f"{route.path} tells of no {code}"


def _succeeds(route: Route, response: httpx.Response) -> None:
    if route.answer is None:
        assert (response.status_code, response.content) == (204, b"")
    else:
        assert response.status_code == 200
        assert response.headers["content-type"] == route.told.media_type
        _reader(route.answer).validate_json(response.content, strict=True)
        assert "NaN" not in json.dumps(response.json())
