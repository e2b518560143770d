"""Bodies, query and headers of an ingest: https://docs.pay-i.com/reference/requestsingest

These describe what `accounts.events` reads, a thousand items at a time and without any model.
"""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, Field, RootModel

from payi_middleware.service.accounts.checks import MAX_MILLISECONDS, MAX_NAME, MAX_TEXT
from payi_middleware.service.api.reading import Query, QueryText
from payi_middleware.service.units import MAX_COUNT

from .common import Time

__all__ = ["BulkHeaders", "BulkItems", "Ingest", "IngestHeaders", "IngestQuery", "ProxyHeaders"]

Text = Annotated[str, Field(max_length=MAX_TEXT)]
Ident = Annotated[str, Field(max_length=MAX_NAME)]
Count = Annotated[int, Field(ge=0, le=MAX_COUNT)]
Milliseconds = Annotated[float, Field(ge=0, le=MAX_MILLISECONDS)]
Whole = Annotated[int, Field(ge=0, le=2**53)]
UseCaseName = Annotated[str, Field(pattern=r"^[A-Za-z0-9._-]{1,64}$")]
Tag = Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]+$")]
TextMap = dict[str, str | None]


class Units(BaseModel):
    """The counters of a unit."""

    input: Count | None = None
    output: Count | None = None


class Header(BaseModel):
    """A header of a call to a provider."""

    name: str
    value: str | None = None


class FunctionCall(BaseModel):
    """A function that the model asked to be called."""

    name: str
    arguments: str | None = None


class Ingest(BaseModel):
    """A call to a provider. What it was for is in the headers."""

    category: Annotated[str, Field(min_length=1, max_length=MAX_TEXT)]
    units: Annotated[
        dict[Annotated[str, Field(min_length=1, max_length=128)], Units | Count],
        Field(description="What was used; a bare number is `input`. Empty where a call has failed."),
    ]
    resource: Text | None = None
    event_timestamp: Annotated[Time | None, Field(description="At most 5 minutes ahead; now if not given.")] = None
    end_to_end_latency_ms: Milliseconds | None = None
    time_to_first_token_ms: Milliseconds | None = None
    time_to_first_completion_token_ms: Milliseconds | None = None
    http_status_code: Annotated[
        int | None, Field(ge=0, le=999, description="From 400 on, and 299: the call has failed.")
    ] = None
    properties: TextMap | None = None
    use_case_properties: TextMap | None = None
    provider_uri: str | None = None
    provider_request_json: str | None = None
    provider_request_reasoning_json: str | None = None
    provider_request_headers: list[Header] | None = None
    provider_response_headers: list[Header] | None = None
    provider_response_json: str | list[str] | None = None
    provider_response_function_calls: list[FunctionCall] | None = None
    provider_response_id: Annotated[
        Text | None, Field(description="Each of a category is charged once, however often it is sent.")
    ] = None


class BulkItem(Ingest):
    """A call to a provider, and what it was for."""

    limit_ids: list[Ident] | None = None
    request_tags: list[Tag] | None = None
    scope: Text | None = None
    use_case_name: UseCaseName | None = None
    use_case_id: Ident | None = None
    use_case_step: Text | None = None
    use_case_version: Whole | None = None
    user_id: Text | None = None
    account_name: Text | None = None


class BulkItems(RootModel[list[BulkItem]]):
    """Calls to providers, each judged alone. No body at all is none of them."""


class IngestQuery(Query):
    """The response that is reported."""

    id: Annotated[QueryText, Field(description="`provider_response_id`, where the body has none.")] = None


class IngestHeaders(BaseModel):
    """What a call was for."""

    limit_ids: Annotated[str | None, Field(alias="xProxy-Limit-IDs", description="Separated by commas.")] = None
    request_tags: Annotated[str | None, Field(alias="xProxy-Request-Tags", description="Separated by commas.")] = None
    use_case_name: Annotated[str | None, Field(alias="xProxy-UseCase-Name")] = None
    use_case_id: Annotated[str | None, Field(alias="xProxy-UseCase-ID")] = None
    use_case_step: Annotated[str | None, Field(alias="xProxy-UseCase-Step")] = None
    use_case_version: Annotated[
        str | None,
        Field(
            alias="xProxy-UseCase-Version", pattern="^[0-9]{1,15}$", description="What a new instance is made under."
        ),
    ] = None
    user_id: Annotated[str | None, Field(alias="xProxy-User-ID")] = None
    account_name: Annotated[str | None, Field(alias="xProxy-Account-Name")] = None
    scope: Annotated[str | None, Field(alias="xProxy-Resource-Scope")] = None
    logging_disable: Annotated[
        str | None, Field(alias="xProxy-Logging-Disable", description="`True`: what was said is not kept.")
    ] = None
    request_properties: Annotated[
        str | None, Field(alias="xProxy-Request-Properties", description="JSON, plain or in base64.")
    ] = None
    use_case_properties: Annotated[
        str | None, Field(alias="xProxy-UseCase-Properties", description="JSON, plain or in base64.")
    ] = None


class ProxyHeaders(IngestHeaders):
    """What a call through the proxy is for, and where it goes."""

    provider_base_uri: Annotated[
        str | None, Field(alias="xProxy-Provider-BaseUri", description="The provider's host, where there are many.")
    ] = None
    price_as_category: Annotated[str | None, Field(alias="xProxy-PriceAs-Category")] = None
    price_as_resource: Annotated[str | None, Field(alias="xProxy-PriceAs-Resource")] = None


class BulkHeaders(BaseModel):
    """What is wanted of the answer."""

    prefer: Annotated[
        str | None, Field(alias="Prefer", description="`return=representation`: each item's result, too.")
    ] = None
