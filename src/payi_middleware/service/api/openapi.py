"""The API's own description, made of the routes and models that serve it: https://spec.openapis.org/oas/v3.1.0"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from pydantic import TypeAdapter
from starlette.responses import Response

from .bodies import encoded
from .models.common import ApiError
from .routing import ANY, JSON, Route

__all__ = ["Description"]

_SCHEMAS = "#/components/schemas/{model}"
_KEY = "key"
_ANY_METHOD = ("GET", "POST", "PUT", "PATCH", "DELETE")
_ARGUMENT = re.compile(r"{([^}]+)}")
_REST = "{*}"
_GENERAL = {
    400: "something is wrong with it",
    401: "the key is missing or wrong",
    404: "it is not there",
    413: "the body is too large",
    500: "something unexpected happened",
    503: "the ledger is not available: try again",
}


class Description:
    """The description of an API.

    Args:
        routes: what it consists of.
    """

    def __init__(self, routes: Iterable[Route]) -> None:
        self._routes = (*routes, self.route)

    @property
    def route(self) -> Route:
        """Where the description is found."""
        return Route("GET", "/openapi.json", self.openapi, open=True, answer=dict[str, Any])

    async def openapi(self, _call: Any) -> Response:
        """Describe this API."""
        return Response(self._encoded, media_type=JSON)

    @cached_property
    def _encoded(self) -> bytes:
        return encoded(self.document())

    def document(self) -> dict[str, Any]:
        """Return the description: an OpenAPI 3.1 document."""
        schemas, definitions = _schemas(self._routes)
        paths: dict[str, dict[str, Any]] = {}
        for route in self._routes:
            methods = _ANY_METHOD if route.method == ANY else (route.method,)
            for method in methods:
                path = route.path.replace(_REST, "{path}")
                paths.setdefault(path, {})[method.lower()] = _operation(route, method, schemas)
        return {
            "openapi": "3.1.0",
            "info": {
                "title": "payi-middleware",
                "summary": "A statement of record for GenAI requests, which speaks Pay-i's API.",
                "version": _version(),
            },
            "security": [{_KEY: []}],
            "paths": paths,
            "components": {
                "schemas": definitions,
                "securitySchemes": {_KEY: {"type": "apiKey", "in": "header", "name": "xProxy-api-key"}},
            },
        }


def _version() -> str:
    try:
        return version("payi-middleware")
    except PackageNotFoundError:  # run from its sources
        return "0"


def _types(route: Route) -> Iterable[Any]:
    """Yield the types that a route's description refers to."""
    yield from (body for body in (route.body, route.told.body) if body is not None)
    if route.answer is not None:
        yield route.answer


def _schemas(routes: Sequence[Route]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the schemas of all types, by their representation, and what they refer to."""
    types = {repr(kind): kind for route in routes for kind in _types(route)} | {repr(ApiError): ApiError}
    found, rest = TypeAdapter.json_schemas(
        [(name, "validation", TypeAdapter(kind)) for name, kind in types.items()], ref_template=_SCHEMAS
    )
    return {name: schema for (name, _), schema in found.items()}, dict(rest.get("$defs", {}))


def _operation(route: Route, method: str, schemas: Mapping[str, Any]) -> dict[str, Any]:
    name = getattr(route.endpoint, "__name__", "")
    group = getattr(route.endpoint, "__module__", "").rpartition(".")[2]
    if route.method == ANY:
        name = f"{name}_{method.lower()}{route.path.removesuffix(_REST).replace('/', '_').rstrip('_')}"
    summary, _, more = (route.endpoint.__doc__ or "").partition("\n\n")[0].partition(". ")
    operation: dict[str, Any] = {
        "operationId": f"{group}_{name}",
        "tags": [group],
        "summary": " ".join(summary.split()).rstrip("."),
        "parameters": [*_path_parameters(route), *_parameters(route)],
        "responses": _responses(route, schemas),
    }
    if more:
        operation["description"] = " ".join(more.split())
    if (body := route.body or route.told.body) is not None:
        operation["requestBody"] = {
            "required": bool(_model(body).get("required")) if route.body else route.told.body_required,
            "content": {JSON: {"schema": schemas[repr(body)]}},
        }
    if route.open:
        operation["security"] = []
    return operation


def _model(kind: Any) -> dict[str, Any]:
    return TypeAdapter(kind).json_schema(ref_template=_SCHEMAS)


def _path_parameters(route: Route) -> Iterable[dict[str, Any]]:
    for name in _ARGUMENT.findall(route.path.replace(_REST, "{path}")):
        yield {"name": name, "in": "path", "required": True, "schema": {"type": "string", "minLength": 1}}


def _parameters(route: Route) -> Iterable[dict[str, Any]]:
    for place, model in (("query", route.query), ("header", route.told.headers)):
        if model is not None:
            told = _model(model)
            for name, schema in told["properties"].items():
                required = name in told.get("required", ())
                yield {"name": name, "in": place, "required": required, **_parameter(schema)}


def _parameter(schema: Mapping[str, Any]) -> dict[str, Any]:
    """Return a parameter's schema and description; what is left out is not null but nothing."""
    told = {name: value for name, value in schema.items() if name not in ("title", "default", "description")}
    choices = [choice for choice in told.pop("anyOf", []) if choice != {"type": "null"}]
    kept = {**told, **choices[0]} if len(choices) == 1 else {**told, "anyOf": choices} if choices else told
    described = {"description": schema["description"]} if "description" in schema else {}
    return {**described, "schema": kept}


def _responses(route: Route, schemas: Mapping[str, Any]) -> dict[str, Any]:
    responses: dict[str, Any] = {}
    if route.answer is None:
        responses["204"] = {"description": "It is done."}
    else:
        content = {route.told.media_type: {"schema": schemas[repr(route.answer)]}}
        responses["200"] = {"description": "It is done.", "content": content}
    for status in sorted({*_general(route), *route.errors}):
        codes = ", ".join(f"`{code}`" for code in route.errors.get(status, ()))
        told = f"Refused: {_GENERAL.get(status, 'see the code')}{f' ({codes}, or another code)' if codes else ''}."
        responses[str(status)] = {"description": told, "content": {JSON: {"schema": schemas[repr(ApiError)]}}}
    if route.told.passes_on:
        responses = {"default": {"description": "What the provider answers, or why it was not asked."}}
    return responses


def _general(route: Route) -> Iterable[int]:
    has_body = route.body is not None or route.told.body is not None
    if has_body or route.query is not None or "{" in route.path:
        yield 400
    if not route.open:
        yield 401
    if has_body:
        yield 413
    yield from (500, 503)
