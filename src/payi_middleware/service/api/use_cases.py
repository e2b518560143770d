"""Use cases and their instances: https://docs.pay-i.com/docs/use-cases"""

from __future__ import annotations

from typing import Any

from starlette.responses import Response

from payi_middleware.service.accounts import definitions, instances

from .bodies import answer, new_request_id
from .models.common import PropertiesRequest
from .models.use_cases import (
    Definition,
    DefinitionCreate,
    DefinitionsQuery,
    DefinitionUpdate,
    Instance,
    LimitConfig,
)
from .paging import PageOf, answer_page, asked
from .routing import Route
from .service import Call

__all__ = ["ROUTES"]

_LIST = "use_cases"


def _body(definition: dict[str, Any]) -> dict[str, Any]:
    return {**definition, "request_id": new_request_id()}


def _config(config: LimitConfig | None) -> dict[str, Any] | None:
    if config is None:
        return None
    kept = {name: value for name, value in (config.properties or {}).items() if value is not None}
    return {
        "max": config.max,
        "limit_type": config.limit_type or "allow",
        "threshold": config.threshold,
        "properties": kept or None,
    }


async def create(call: Call, body: DefinitionCreate) -> Response:
    """Define a use case."""
    enabled = body.logging_enabled is not False
    config = _config(body.limit_config)
    return answer(_body(await call.write(definitions.create, body.name, body.description, config, enabled)))


async def listed(call: Call, query: DefinitionsQuery) -> Response:
    """List the use cases."""
    found = await call.read(definitions.some, asked(query, _LIST), query.use_case_name)
    return answer_page(found, _LIST, _body)


async def retrieve(call: Call, use_case_name: str) -> Response:
    """Return a use case."""
    return answer(_body(await call.read(definitions.get, use_case_name)))


async def update(call: Call, use_case_name: str, body: DefinitionUpdate) -> Response:
    """Give a use case another description, or have prompts and answers kept or not."""
    told = {"description": body.description, "logging_enabled": body.logging_enabled}
    changes = {name: value for name, value in told.items() if value is not None}
    return answer(_body(await call.write(definitions.change, use_case_name, changes)))


async def delete(call: Call, use_case_name: str) -> Response:
    """Delete a use case with its KPIs. Its requests, its instances and their limits stay."""
    return answer(_body(await call.write(definitions.remove, use_case_name)))


async def increment_version(call: Call, use_case_name: str) -> Response:
    """Begin the next version of a use case, to which new instances belong."""
    return answer(_body(await call.write(definitions.increment_version, use_case_name)))


async def set_limit_config(call: Call, use_case_name: str, body: LimitConfig) -> Response:
    """Say what limit each new instance gets."""
    return answer(_body(await call.write(definitions.change, use_case_name, {"limit_config": _config(body)})))


async def delete_limit_config(call: Call, use_case_name: str) -> Response:
    """Have new instances get no limit. It is no error if they get none."""
    return answer(_body(await call.write(definitions.change, use_case_name, {"limit_config": None})))


async def create_instance(call: Call, use_case_name: str) -> Response:
    """Make an instance of a use case, with a limit of its own where the use case says so."""
    return answer(await call.write(instances.create, use_case_name))


async def retrieve_instance(call: Call, use_case_name: str, use_case_id: str) -> Response:
    """Return an instance."""
    return answer(await call.read(instances.get, use_case_name, use_case_id))


async def delete_instance(call: Call, use_case_name: str, use_case_id: str) -> Response:
    """Delete an instance with its scores. Its limit and its requests stay."""
    return answer(await call.write(instances.remove, use_case_name, use_case_id))


async def properties(call: Call, use_case_name: str, use_case_id: str, body: PropertiesRequest) -> Response:
    """Merge properties into those of an instance; null takes one away."""
    return answer(await call.write(instances.merge_properties, use_case_name, use_case_id, body.properties))


_NOT_FOUND = {404: ("use_case_not_found",)}
_NO_INSTANCE = {404: ("use_case_instance_not_found",)}
_LIMIT_CODES = ("invalid_max_limit", "create_limit_validation_failed")
_DEFINITIONS = "/api/v1/use_cases/definitions"
_DEFINITION = f"{_DEFINITIONS}/{{use_case_name}}"
_INSTANCES = "/api/v1/use_cases/instances/{use_case_name}"
_INSTANCE = f"{_INSTANCES}/{{use_case_id}}"

ROUTES = (
    Route(
        "POST",
        _DEFINITIONS,
        create,
        body=DefinitionCreate,
        answer=Definition,
        errors={
            400: (
                "use_case_already_exists",
                "invalid_use_case_name",
                "invalid_use_case_description",
                *_LIMIT_CODES,
            )
        },
    ),
    Route("GET", _DEFINITIONS, listed, query=DefinitionsQuery, answer=PageOf[Definition]),
    Route("GET", _DEFINITION, retrieve, answer=Definition, errors=_NOT_FOUND),
    Route(
        "PUT",
        _DEFINITION,
        update,
        body=DefinitionUpdate,
        answer=Definition,
        errors={**_NOT_FOUND, 400: ("invalid_use_case_description",)},
    ),
    Route("DELETE", _DEFINITION, delete, answer=Definition, errors=_NOT_FOUND),
    Route("POST", f"{_DEFINITION}/increment_version", increment_version, answer=Definition, errors=_NOT_FOUND),
    Route(
        "POST",
        f"{_DEFINITION}/limit_config",
        set_limit_config,
        body=LimitConfig,
        answer=Definition,
        errors={**_NOT_FOUND, 400: _LIMIT_CODES},
    ),
    Route("DELETE", f"{_DEFINITION}/limit_config", delete_limit_config, answer=Definition, errors=_NOT_FOUND),
    Route("POST", _INSTANCES, create_instance, answer=Instance, errors=_NOT_FOUND),
    Route("GET", _INSTANCE, retrieve_instance, answer=Instance, errors=_NO_INSTANCE),
    Route("DELETE", _INSTANCE, delete_instance, answer=Instance, errors=_NO_INSTANCE),
    Route("PUT", f"{_INSTANCE}/properties", properties, body=PropertiesRequest, answer=Instance, errors=_NO_INSTANCE),
)
