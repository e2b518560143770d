"""Query strings and JSON bodies, read into models. What is wrong with one becomes Pay-i's error."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Annotated, Any, ClassVar, TypeVar

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, ValidationError, model_validator

from payi_middleware.service.accounts import checks
from payi_middleware.service.errors import ServiceError, invalid, missing
from payi_middleware.service.store import clock

__all__ = ["Body", "Query", "QueryFlag", "QueryText", "QueryTime", "read_body_as", "read_query_as"]

_NAMED_BY_CALLER = frozenset({"properties", "units"})
_GENERAL = "request_processing_error"


class _Read(BaseModel):
    """What a request says, checked.

    `refused` is the code of a value that is wrong, `codes` that of fields which have their own:
    https://docs.pay-i.com/docs/error-code-strings
    """

    model_config = ConfigDict(extra="ignore", frozen=True, allow_inf_nan=False)
    refused: ClassVar[str] = _GENERAL
    codes: ClassVar[Mapping[str, str]] = {}


class Query(_Read):
    """The query of an endpoint. An empty value is none."""


class Body(_Read):
    """The JSON body of an endpoint. Fields that it does not name are ignored, and null is the same as nothing."""

    model_config = ConfigDict(strict=True)

    @model_validator(mode="before")
    @classmethod
    def _without_nulls(cls, told: Any) -> Any:
        return {k: v for k, v in told.items() if v is not None} if isinstance(told, Mapping) else told


_R = TypeVar("_R", bound=_Read)


def _flag(value: Any) -> Any:
    words = {"true": True, "false": False}
    return words.get(value.lower(), value) if isinstance(value, str) else value


def _storable(value: str | None) -> str | None:
    return checks.text("a query value", value)


QueryFlag = Annotated[bool | None, BeforeValidator(_flag, json_schema_input_type=bool | None)]
"""`true` or `false`."""


def _utc(value: datetime | None) -> datetime | None:
    if value is None:
        return None
    try:
        moment = clock.as_utc(value)
    except OverflowError as error:
        raise invalid("a date-time is beyond the calendar") from error
    if clock.micros(moment) < 0:
        raise invalid("a date-time lies before 1970")
    return moment


QueryTime = Annotated[datetime | None, AfterValidator(_utc)]
"""A date-time, in UTC."""
QueryText = Annotated[str | None, AfterValidator(_storable)]
"""A text that may be looked up."""


def read_query_as(model: type[_R], query: Mapping[str, str]) -> _R:
    """Read the query of a request.

    Raises:
        ServiceError: 400, the first thing that is wrong with it.
    """
    return _read(model, {name: value for name, value in query.items() if value})


def read_body_as(model: type[_R], body: Any) -> _R:
    """Read the body of a request; none at all is an empty one.

    Raises:
        ServiceError: 400, the first thing that is wrong with it.
    """
    if body is None:
        body = {}
    if not isinstance(body, Mapping):
        raise invalid("the body must be a JSON object", model.refused)
    return _read(model, body)


def _read(model: type[_R], told: Mapping[str, Any]) -> _R:
    try:
        return model.model_validate(told)
    except ValidationError as error:
        raise _refusal(model, error) from None


def _refusal(model: type[_Read], error: ValidationError) -> ServiceError:
    first = error.errors(include_url=False, include_context=False, include_input=False)[0]
    place = ".".join(_named(first["loc"])) or "the request"
    if first["type"] == "missing":
        return missing(place)
    return invalid(f"{place}: {first['msg']}", model.codes.get(place, model.refused))


def _named(place: Sequence[int | str]) -> Iterator[str]:
    """Yield the names of fields, but not those that the caller has made up."""
    for part in place:
        yield str(part)
        if part in _NAMED_BY_CALLER:
            return
