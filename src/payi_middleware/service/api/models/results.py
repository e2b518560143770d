"""The result of a request, by whatever way it is asked for: https://docs.pay-i.com/docs/understanding-results"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from payi_middleware.results import LimitStateName

from .common import Answer, Time, Usd, XproxyError

__all__ = ["BulkIngestResponse", "IngestResponse", "RequestResponse", "RequestResult", "XproxyResult"]


class CostPart(Answer):
    """An amount."""

    base: Usd


class CostTotal(Answer):
    """All that a request cost, and what of it lies above a limit's maximum: the largest part, of several limits."""

    base: Usd
    overrun_base: Usd | None = None


class Cost(Answer):
    """What a request cost, by direction."""

    currency: Literal["usd"]
    input: CostPart
    output: CostPart
    total: CostTotal


class LimitState(Answer):
    """The state of a limit after a request."""

    state: LimitStateName


class UnitCounts(Answer):
    """The counters of a unit."""

    input: int
    output: int


class XproxyResult(Answer):
    """What a request cost, what it did to its limits, and what it was for. What there is none of is left out."""

    request_id: str
    resource_id: Annotated[str | None, Field(description="The version of the prices that it was priced by.")] = None
    cost: Annotated[Cost | None, Field(description="Not there if the request was refused.")] = None
    limits: dict[str, LimitState]
    blocked_limit_ids: list[str]
    use_case_id: str | None = None
    use_case_name: str | None = None
    use_case_step: str | None = None
    user_id: str | None = None
    account_name: str | None = None
    request_tags: list[str] | None = None
    duplicate_request: Annotated[bool | None, Field(description="It had been booked before.")] = None
    unknown_units: Annotated[dict[str, UnitCounts] | None, Field(description="Units that no price is known for.")] = (
        None
    )
    warnings: list[str] | None = None


class RequestResult(Answer):
    """The result of a request."""

    xproxy_result: XproxyResult


class RequestResponse(Answer):
    """The request that was changed."""

    request_id: str


class IngestResponse(Answer):
    """A request that was booked."""

    event_timestamp: Time
    ingest_timestamp: Time
    request_id: str
    xproxy_result: XproxyResult


class ItemRefusal(Answer):
    """Why an item is refused."""

    statusCode: int  # noqa: N815 - Pay-i's name for it
    message: str
    xproxy_error: XproxyError


class BulkError(Answer):
    """An item that is refused."""

    item_index: Annotated[int, Field(description="From 0.")]
    xproxy_result: Annotated[ItemRefusal, Field(description="An error, whatever its name says.")]


class BulkResult(Answer):
    """An item that was accepted."""

    item_index: Annotated[int, Field(description="From 0.")]
    xproxy_result: XproxyResult


class BulkIngestResponse(Answer):
    """What became of many items."""

    request_id: str
    ingest_timestamp: Time
    ingest_count: Annotated[int, Field(description="Items that were booked; repeats are none of them.")]
    error_count: int
    item_error_count: int
    total_count: int
    errors: list[BulkError]
    results: Annotated[
        list[BulkResult] | None, Field(description="Only where the request said `Prefer: return=representation`.")
    ] = None
