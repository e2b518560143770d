"""Parts of many bodies."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from payi_middleware.service.accounts import checks
from payi_middleware.service.api.reading import Body
from payi_middleware.service.errors import ServiceError

__all__ = ["Answer", "ApiError", "Done", "Name", "Properties", "PropertiesRequest", "Time", "Usd", "Words"]


class Answer(BaseModel):
    """What an endpoint answers."""

    model_config = ConfigDict(extra="forbid")


def _storable(value: str) -> str:
    try:
        checks.text("it", value)
    except ServiceError as refusal:
        raise ValueError(refusal.message) from None
    return value


def _storable_keys(value: dict[str, Any]) -> dict[str, Any]:
    if not all(_storable(key) for key in value):
        raise ValueError("a name must not be empty")
    return value


Words = Annotated[str, Field(max_length=checks.MAX_TEXT), AfterValidator(_storable)]
"""A text."""
Name = Annotated[str, Field(max_length=checks.MAX_NAME), AfterValidator(_storable)]
"""A name or an id."""
PropertyValue = Annotated[str, Field(max_length=checks.MAX_TEXT)]
Properties = Annotated[dict[str, PropertyValue | None], AfterValidator(_storable_keys)]
"""Texts by name. A null takes one away."""
Usd = Annotated[float, Field(description="USD")]
Time = Annotated[datetime, Field(description="ISO 8601, UTC")]


class XproxyError(Answer):
    """Why a request is refused."""

    code: Annotated[str, Field(description="Stable, to be read by machines.")]
    message: str


class ApiError(Answer):
    """The body of every error."""

    statusCode: int  # noqa: N815 - Pay-i's name for it
    message: str
    xproxy_error: XproxyError
    xproxy_result: Annotated[dict[str, Any] | None, Field(description="Which limits refuse a call.")] = None


class PropertiesRequest(Body):
    """Properties to be merged into those that are there."""

    properties: Properties


class Done(Answer):
    """It is done."""

    request_id: str
    message: str | None = None
