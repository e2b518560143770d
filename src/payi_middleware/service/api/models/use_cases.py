"""Bodies of use cases: https://docs.pay-i.com/docs/use-cases"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, ClassVar

from pydantic import Field

from payi_middleware.service.api.paging import PageQuery
from payi_middleware.service.api.reading import Body, QueryText

from .common import Answer, Properties, Usd, Words
from .limits import LimitType, Maximum, Threshold

_LIMIT_REFUSED = "create_limit_validation_failed"
_DESCRIPTION = "invalid_use_case_description"
Description = Annotated[Words, Field(min_length=1)]
UseCaseName = Annotated[
    str, Field(pattern=r"^[A-Za-z0-9._-]{1,64}$", description="1 to 64 letters, digits, `.`, `-` and `_`; unique.")
]


class LimitConfig(Body):
    """The limit that each new instance gets."""

    refused: ClassVar[str] = _LIMIT_REFUSED
    codes: ClassVar[Mapping[str, str]] = {"max": "invalid_max_limit"}

    max: Maximum
    limit_type: Annotated[LimitType | None, Field(description="`allow` if not given.")] = None
    threshold: Threshold | None = None
    properties: Properties | None = None


class DefinitionCreate(Body):
    """A use case to be defined."""

    codes: ClassVar[Mapping[str, str]] = {
        "name": "invalid_use_case_name",
        "description": _DESCRIPTION,
        "limit_config.max": "invalid_max_limit",
        **dict.fromkeys(("limit_config", "limit_config.limit_type", "limit_config.threshold"), _LIMIT_REFUSED),
        "limit_config.properties": _LIMIT_REFUSED,
    }

    name: UseCaseName
    description: Description
    limit_config: LimitConfig | None = None
    logging_enabled: Annotated[bool | None, Field(description="Whether prompts and answers are kept.")] = None


class DefinitionUpdate(Body):
    """What changes of a use case."""

    codes: ClassVar[Mapping[str, str]] = {"description": _DESCRIPTION}

    description: Description | None = None
    logging_enabled: bool | None = None


class DefinitionsQuery(PageQuery):
    """Which use cases."""

    use_case_name: Annotated[QueryText, Field(description="Only the use case of exactly this name.")] = None


class LimitConfigOf(Answer):
    """The limit that each new instance gets."""

    max: Usd
    limit_type: LimitType
    threshold: float | None
    properties: dict[str, str] | None


class Definition(Answer):
    """A use case."""

    name: str
    description: Annotated[str, Field(description="Empty where a request has made it.")]
    limit_config: LimitConfigOf | None
    logging_enabled: bool
    type_version: Annotated[int, Field(ge=1)]
    request_id: str


class Instance(Answer):
    """An instance of a use case."""

    use_case_id: str
    use_case_name: str
    limit_id: Annotated[str | None, Field(description="The limit of its own, if it has one.")]
    type_version: Annotated[int, Field(description="The version of the use case that it was made under.")]
