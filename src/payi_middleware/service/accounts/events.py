"""An ingested event: the body of one request to Pay-i's ingest, checked."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from types import MappingProxyType
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
    limit_ids: Sequence[str]
    request_tags: Sequence[str]
    scope: str | None
    use_case_name: str | None
    use_case_id: str | None
    use_case_step: str | None
    use_case_version: int | None
    user_id: str | None
    account_name: str | None
    properties: Mapping[str, str | None]
    use_case_properties: Mapping[str, str | None]
    exchange: Mapping[str, Any]
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
    told: dict[str, Any] = {**_UNTOLD, "event_timestamp": checks.event_time(item.get("event_timestamp"), received)}
    for name, value in item.items():
        if value is not None and (check := _CHECKS.get(name)) is not None:
            told[name] = check(value)
    if "units" not in told:
        raise missing("units")
    return Event(
        **told,
        category=category,
        ingest_timestamp=received,
        exchange=exchange_in(item),
        proxied=proxied,
        blocked_by=blocked_by or _blocked_by(told),
        takes_block_limits=takes_block_limits,
    )


_CHECKS: Mapping[str, Callable[[Any], Any]] = {
    "resource": partial(checks.text, "resource"),
    "units": parse_units,
    "provider_response_id": partial(checks.text, "provider_response_id"),
    "http_status_code": partial(checks.integer, "http_status_code", maximum=999),
    "limit_ids": checks.limit_ids,
    "request_tags": checks.tags,
    "scope": partial(checks.text, "scope"),
    "user_id": partial(checks.text, "user_id", code="invalid_user_id"),
    "account_name": partial(checks.text, "account_name"),
    "use_case_name": checks.use_case_name,
    "use_case_id": partial(checks.text, "use_case_id", maximum=checks.MAX_NAME),
    "use_case_step": partial(checks.text, "use_case_step"),
    "use_case_version": partial(checks.integer, "use_case_version"),
    **{
        name: partial(checks.milliseconds, name)
        for name in ("end_to_end_latency_ms", "time_to_first_token_ms", "time_to_first_completion_token_ms")
    },
    **{name: partial(checks.properties, name) for name in ("properties", "use_case_properties")},
}
"""What is done with the fields that are there; most events have a third of them."""

_UNTOLD: Mapping[str, Any] = {
    **dict.fromkeys(name for name in _CHECKS if name != "units"),
    **dict.fromkeys(("limit_ids", "request_tags"), ()),
    **dict.fromkeys(("properties", "use_case_properties"), MappingProxyType({})),
}


def _blocked_by(told: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the limits that our client has refused the call for, without calling the provider."""
    if told["http_status_code"] != _REFUSED:
        return ()
    return tuple(limit_id for part in (told["properties"].get(_BLOCKED) or "").split(",") if (limit_id := part.strip()))
