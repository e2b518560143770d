"""An ingested event: the body of one request to Pay-i's ingest, checked."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from payi_middleware.service.errors import invalid, missing
from payi_middleware.service.units import Counts, parse_units

from . import checks
from .exchanges import exchange_in

FAILED_IN_CLIENT = 299
"""The status Pay-i's SDK reports for a call that failed without any HTTP answer."""

_BLOCKED, _REFUSED = "system.blocked_limit_ids", 400
"""How our client reports a call that it has refused for its limits: this property, and this status."""


@dataclass(slots=True, kw_only=True)  # not frozen, which would take three times as long to make
class Event:
    """One call of a provider, as reported; nobody changes it. Latencies are in milliseconds, times in UTC.

    Args:
        proxied: it went through our proxy, which can refuse it.
        blocked_by: the limits that it was refused for; the provider was not called then.
        takes_block_limits: it may name limits of type block, although they cannot stop it any more.
        columns: what is stored of it, once `columns_of` has made that.
    """

    category: str
    resource: str | None
    units: dict[str, Counts]
    event_timestamp: datetime
    ingest_timestamp: datetime
    provider_response_id: str | None
    http_status_code: int | None
    end_to_end_latency_ms: int | None
    time_to_first_token_ms: int | None
    time_to_first_completion_token_ms: int | None
    limit_ids: list[str]
    request_tags: list[str]
    scope: str | None
    use_case_name: str | None
    use_case_id: str | None
    use_case_step: str | None
    use_case_version: int | None
    user_id: str | None
    account_name: str | None
    properties: dict[str, str | None]
    use_case_properties: dict[str, str | None]
    exchange: dict[str, Any]
    proxied: bool = False
    blocked_by: tuple[str, ...] = ()
    takes_block_limits: bool = True
    columns: dict[str, Any] = field(default_factory=dict, repr=False, compare=False)

    @property
    def failed(self) -> bool:
        """Whether the provider call failed."""
        status = self.http_status_code
        return status is not None and (status >= 400 or status == FAILED_IN_CLIENT)


def parse_event(
    item: Any,
    received: datetime,
    *,
    proxied: bool = False,
    blocked_by: tuple[str, ...] = (),
    takes_block_limits: bool = True,
) -> Event:
    """Check a bulk item and return it as an event.

    Args:
        item: a BulkItem: an ingest body with its context in the body. Unknown fields are ignored.
        received: when it arrived, in UTC.
        proxied, blocked_by, takes_block_limits: see `Event`.

    Raises:
        ServiceError: the first thing that is wrong with it.
    """
    if not isinstance(item, Mapping):
        raise invalid("an event must be a JSON object")
    category = checks.text("category", item.get("category"))
    if category is None:
        raise missing("category")
    properties = checks.properties("properties", item.get("properties"))
    return Event(
        category=category,
        resource=checks.text("resource", item.get("resource")),
        units=parse_units(item.get("units")),
        event_timestamp=checks.event_time(item.get("event_timestamp"), received),
        ingest_timestamp=received,
        provider_response_id=checks.text("provider_response_id", item.get("provider_response_id")),
        http_status_code=checks.integer("http_status_code", item.get("http_status_code"), 999),
        limit_ids=checks.limit_ids(item.get("limit_ids")),
        request_tags=checks.tags(item.get("request_tags")),
        scope=checks.text("scope", item.get("scope")),
        user_id=checks.text("user_id", item.get("user_id"), "invalid_user_id"),
        account_name=checks.text("account_name", item.get("account_name")),
        properties=properties,
        exchange=exchange_in(item),
        proxied=proxied,
        blocked_by=blocked_by or _blocked_by(item, properties),
        takes_block_limits=takes_block_limits,
        **_latencies(item),
        **_use_case(item),
    )


def _blocked_by(item: Mapping[str, Any], properties: Mapping[str, str | None]) -> tuple[str, ...]:
    """Return the limits that our client has refused the call for, without calling the provider."""
    told = properties.get(_BLOCKED) if item.get("http_status_code") == _REFUSED else None
    return tuple(limit_id for part in (told or "").split(",") if (limit_id := part.strip()))


def _latencies(item: Mapping[str, Any]) -> dict[str, Any]:
    names = ("end_to_end_latency_ms", "time_to_first_token_ms", "time_to_first_completion_token_ms")
    return {name: checks.milliseconds(name, item.get(name)) for name in names}


def _use_case(item: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "use_case_name": checks.use_case_name(item.get("use_case_name")),
        "use_case_id": checks.text("use_case_id", item.get("use_case_id"), maximum=checks.MAX_NAME),
        "use_case_step": checks.text("use_case_step", item.get("use_case_step")),
        "use_case_version": checks.integer("use_case_version", item.get("use_case_version")),
        "use_case_properties": checks.properties("use_case_properties", item.get("use_case_properties")),
    }
