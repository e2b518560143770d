"""Bodies of limits: https://docs.pay-i.com/docs/limit-apis"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, ClassVar, Literal

from pydantic import Field

from payi_middleware.service.accounts.limits import MAX_MAX
from payi_middleware.service.api.paging import PageQuery
from payi_middleware.service.api.reading import Body, Query, QueryText, QueryTime

from .common import Answer, Name, Properties, Time, Usd

LimitType = Literal["allow", "block"]
Maximum = Annotated[float, Field(gt=0, le=float(MAX_MAX), description="USD")]
Threshold = Annotated[float, Field(ge=0.75, lt=1, description="The fraction of `max` that counts as exceeded; else 1.")]
_CODES = {"max": "invalid_max_limit"}


class LimitCreate(Body):
    """A limit to be made."""

    refused: ClassVar[str] = "create_limit_validation_failed"
    codes: ClassVar[Mapping[str, str]] = _CODES

    limit_name: Annotated[Name, Field(min_length=1, description="Unique.")]
    max: Maximum
    limit_id: Annotated[Name | None, Field(description="Made up if not given.")] = None
    limit_type: Annotated[LimitType | None, Field(description="`allow` if not given.")] = None
    threshold: Threshold | None = None
    properties: Properties | None = None


class LimitUpdate(Body):
    """What changes of a limit."""

    refused: ClassVar[str] = "update_limit_validation_failed"
    codes: ClassVar[Mapping[str, str]] = _CODES

    limit_name: Annotated[Name | None, Field(min_length=1)] = None
    max: Annotated[Maximum | None, Field(description="USD; not less than what was spent.")] = None


class LimitsQuery(PageQuery):
    """Which limits."""

    limit_name: Annotated[QueryText, Field(description="Only the limit of exactly this name.")] = None


class ResetQuery(Query):
    """When a limit's period ends."""

    reset_date: Annotated[
        QueryTime, Field(alias="resetDate", description="The date that the reset is told for; now if not given.")
    ] = None


class Amount(Answer):
    """An amount."""

    base: Usd


class TotalAmount(Answer):
    """All that was spent, and what of it lies above the maximum."""

    base: Usd
    overrun_base: Usd | None = None


class TotalCost(Answer):
    """What was spent, by direction."""

    input: Amount
    output: Amount
    total: TotalAmount


class RequestCounts(Answer):
    """Requests by the state that they left a limit in."""

    ok: int
    blocked: int
    blocked_external: int
    exceeded: int
    overrun: int
    failed: int
    total: int


class Totals(Answer):
    """What a limit was charged with in a period."""

    cost: TotalCost
    requests: RequestCounts


class Limit(Answer):
    """A limit, in its current period."""

    limit_id: str
    limit_name: str
    limit_type: LimitType
    max: Usd
    threshold: float | None
    limit_creation_timestamp: Time
    limit_update_timestamp: Time
    totals: Totals


class LimitResponse(Answer):
    """A limit."""

    limit: Limit
    request_id: str
    message: str | None = None


class LimitHistory(Answer):
    """A period that is over."""

    limit_id: str
    limit_name: str
    limit_type: LimitType
    max: Usd
    limit_reset_timestamp: Time
    totals: Totals


class LimitHistoryResponse(Answer):
    """The period that a reset has ended."""

    limit_history: LimitHistory
    request_id: str
    message: str | None = None
