"""What is stored of a request that its event alone tells: made before the transaction that others wait for."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from hashlib import blake2b
from operator import attrgetter
from typing import Any

from payi_middleware.service.store import clock
from payi_middleware.service.store.encoding import Encoded, encoded
from payi_middleware.service.store.names import NONE, Kind, key_of, pair
from payi_middleware.service.units import as_json, tokens

from .events import Event
from .exchanges import without_content
from .use_cases import merge

__all__ = ["columns_of", "exchange_without_content", "instance_key", "response_key"]

_COPIED = (
    "category",
    "resource",
    "provider_response_id",
    "http_status_code",
    "failed",
    "end_to_end_latency_ms",
    "time_to_first_token_ms",
    "time_to_first_completion_token_ms",
    "user_id",
    "account_name",
    "use_case_name",
    "use_case_step",
    "use_case_version",
    "scope",
)
_copied = attrgetter(*_COPIED)


def columns_of(event: Event) -> dict[str, Any]:
    """Return the columns of a request by name, made at the first call. Nobody may change what is returned."""
    columns = event.columns
    if not columns:
        columns.update(_made(event))
    return columns


def _made(event: Event) -> dict[str, Any]:
    name = event.use_case_name
    use_case_id = event.use_case_id if name else None
    units = event.units
    counted = tokens(units)
    columns: dict[str, Any] = dict(zip(_COPIED, _copied(event), strict=True))
    columns.update(_NONE)
    columns["response_key"] = _key_of_response(event)
    columns["event_timestamp"] = clock.micros(event.event_timestamp)
    columns["ingest_timestamp"] = clock.micros(event.ingest_timestamp)
    columns["blocked"] = bool(event.blocked_by)
    columns["resource_key"] = key_of(Kind.RESOURCE, pair(event.category, event.resource))
    columns["input_tokens"], columns["output_tokens"] = counted
    columns["units"] = encoded(as_json(units))
    if event.user_id:
        columns["user_key"] = key_of(Kind.USER, event.user_id)
    if event.account_name:
        columns["account_key"] = key_of(Kind.ACCOUNT, event.account_name)
    if name:
        columns["use_case_id"] = use_case_id
        columns["use_case_key"] = key_of(Kind.USE_CASE, name)
        columns["instance_key"] = instance_key(name, use_case_id)
    if event.use_case_step:
        columns["step_key"] = key_of(Kind.STEP, event.use_case_step)
    if event.request_tags:
        columns["request_tags"] = encoded(event.request_tags)
    if event.properties:
        columns["properties"] = _object(merge(None, event.properties))
    if event.use_case_properties:
        columns["use_case_properties"] = _object(merge(None, event.use_case_properties))
    if event.exchange:
        columns["exchange"] = encoded(event.exchange)
    return columns


_NONE: Mapping[str, Any] = {
    **dict.fromkeys(("use_case_id", "request_tags", "properties", "use_case_properties", "exchange")),
    **dict.fromkeys(("user_key", "account_key", "use_case_key", "step_key", "instance_key"), NONE),
}
"""What most requests have none of."""


@lru_cache(maxsize=4_096)
def response_key(category: str, provider_response_id: str) -> bytes:
    """Return the digest by which a provider's response is known."""
    told = f"{category}\0{provider_response_id}".encode("utf-8", "surrogatepass")
    return blake2b(told, digest_size=16).digest()


def instance_key(use_case_name: str | None, use_case_id: str | None) -> int:
    """Return the key of a use case's instance."""
    return key_of(Kind.INSTANCE, use_case_id and pair(str(use_case_name), use_case_id))


def exchange_without_content(event: Event) -> Encoded | None:
    """Return what is stored of what was said to and by the provider where logging is disabled."""
    return _object(without_content(event.exchange))


def _key_of_response(event: Event) -> bytes | None:
    if event.provider_response_id is None:
        return None
    return response_key(event.category, event.provider_response_id)


def _object(value: Mapping[str, Any]) -> Encoded | None:
    return encoded(value) if value else None
