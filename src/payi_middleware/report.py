"""What is reported to Pay-i about one provider call: annotations + usage + timing → the ingest payload."""

from __future__ import annotations

import hashlib
import hmac
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple, Self
from uuid import uuid4

from pydantic_core import to_json

from .annotations import NOTHING, Annotations
from .exceptions import ConfigurationError
from .providers import Answer, Asked, Match, units

UNKNOWN_MODEL = "system.unknown_model"
CLIENT_FAILURE = 299
"""Pay-i's status for a call that failed in the client, without an HTTP status."""

_CONTEXT_FIELDS = {
    "user_id": "user_id",
    "account_name": "account_name",
    "use_case_name": "use_case_name",
    "use_case_id": "use_case_id",
    "use_case_version": "use_case_version",
    "use_case_step": "use_case_step",
    "resource_scope": "scope",
    "limit_ids": "limit_ids",
    "request_tags": "request_tags",
}


@dataclass(slots=True)
class Timing:
    """When a call began (UTC) and how long its parts took, in milliseconds; None where a part never came.

    Nobody changes it; it is not frozen, as each field of what is frozen takes several times as long to be set.
    """

    started: datetime
    end_to_end_ms: int | None = None
    first_token_ms: int | None = None
    first_completion_ms: int | None = None

    @classmethod
    def of(cls, begun: float, started: float, ended: float, token: float, completion: float) -> Self:
        """Return the timing of a call.

        Args:
            begun: seconds since 1970.
            started, ended, token, completion: seconds on another clock; 0 for what never came.
        """
        return cls(
            datetime.fromtimestamp(begun, UTC),
            round((ended - started) * 1000) if ended else None,
            round((token - started) * 1000) if token else None,
            round((completion - started) * 1000) if completion else None,
        )

    @property
    def ended(self) -> datetime:
        """When it ended; when it began where that is all that is known."""
        return self.started + timedelta(milliseconds=self.end_to_end_ms or 0)


class Content(NamedTuple):
    """The prompt and the answer as they went over the wire; sent only where the app asked for it."""

    request: str | None = None
    response: str | list[str] | None = None


@dataclass(slots=True)
class Observed:
    """Everything that is known of one provider call when it has ended; nobody changes it (see `Timing`).

    Args:
        match: which provider and API it was.
        asked, answer: what the request and the response said.
        status: the HTTP status; None when no response came.
        failure: the type of the client's own error, if it failed without an HTTP error status.
        ended_early: the app stopped reading before the provider's last event.
        provider_uri: scheme, host and path, without the query, which may carry keys.
        module: the SDK that made the call, like `openai/3.54.0`.
    """

    match: Match
    asked: Asked
    answer: Answer
    status: int | None
    timing: Timing
    failure: str | None = None
    ended_early: bool = False
    provider_uri: str | None = None
    module: str | None = None
    content: Content | None = None


Item = bytes | Mapping[str, Any]
"""An item of `POST /api/v1/ingest/bulk`, as JSON or not."""


class Report:
    """One report, in the shape of an item of `POST /api/v1/ingest/bulk`, which holds everything in its body.

    Args:
        item: the item; its `category` and `provider_response_id` together make it idempotent. Nobody changes it.
        module: the value of `xProxy-Instrumented-Module`.
        log_content: whether the service may keep request and response bodies.
    """

    __slots__ = ("_item", "_log_content", "_module", "_packed")

    def __init__(self, item: Mapping[str, Any], module: str | None = None, log_content: bool = False) -> None:
        self._item = item
        self._packed = b""
        self._module = module
        self._log_content = log_content

    @property
    def module(self) -> str | None:
        """The SDK that made the call."""
        return self._module

    @property
    def log_content(self) -> bool:
        """Whether the service may keep request and response bodies."""
        return self._log_content

    @property
    def item(self) -> Mapping[str, Any]:
        """The item."""
        item: Mapping[str, Any] = json.loads(self._packed) if self._packed else self._item
        return item

    def pack(self) -> None:
        """Keep it as JSON only, which takes long to be looked into, and less room.

        An item is a dozen of objects that the garbage collector goes through again and again while they wait.
        """
        self._packed, self._item = self.encoded(), {}

    @property
    def category(self) -> str:
        """The Pay-i category."""
        return str(self.item["category"])

    @property
    def provider_response_id(self) -> str:
        """The provider's id of the response, or one of ours; it makes the report idempotent within its category."""
        return str(self.item["provider_response_id"])

    @property
    def size(self) -> int:
        """Bytes that it takes, about."""
        return len(self.encoded()) if self.log_content else 1024

    @property
    def kept(self) -> Item:
        """The item as it is kept: as JSON, if it was packed."""
        return self._packed or self._item

    def encoded(self) -> bytes:
        """Return the item as JSON."""
        return self._packed or encoded(self._item)

    @classmethod
    def decoded(cls, item: bytes, module: str | None, *, log_content: bool) -> Self:
        """Return the report of an encoded item.

        Raises:
            ValueError: this is no JSON.
        """
        return cls(json.loads(item), module, log_content)


def encoded(body: Any) -> bytes:
    """Return a body as JSON."""
    try:
        return to_json(body)  # much faster, and what it does not write, `json` may
    except ValueError:
        # Half a surrogate pair has no UTF-8 form: JSON's own escape does.
        return _ENCODE(body).encode("utf-8", "backslashreplace")


_ENCODE = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode


def build_report(
    observed: Observed,
    annotations: Annotations,
    *,
    hash_user: Callable[[str], str] | None = None,
    redact: Callable[[dict[str, Any]], dict[str, Any]] | None = None,
    fallback_id: str | None = None,
) -> Report:
    """Put together what is reported.

    Args:
        observed: what is known of the call.
        annotations: whom it is for.
        hash_user: replaces the user id before it leaves the process.
        redact: the app's last word on what leaves the process.

    Raises:
        Exception: whatever `redact` raises; then nothing may be sent.
    """
    item = {**_observed_fields(observed, annotations, fallback_id), **context_fields(annotations, hash_user)}
    usage = observed.answer.usage
    if annotations.resource_scope is None and usage is not None and usage.scope:
        item["scope"] = usage.scope
    if redact is not None:
        item = redacted(item, redact)
    return Report(item, observed.module, log_content=observed.content is not None)


def _observed_fields(observed: Observed, annotations: Annotations, fallback_id: str | None) -> dict[str, Any]:
    """Return what a bulk item says of the call itself; nothing is in it that is not known."""
    answer, timing = observed.answer, observed.timing
    resource = _resource(observed)
    counted, notes = units(answer.usage) if answer.usage is not None else ({}, {})
    item: dict[str, Any] = {
        "category": annotations.price_as_category or observed.match.category,
        "resource": annotations.price_as_resource or resource,
        "units": counted,
        "event_timestamp": timing.started.astimezone(UTC).isoformat().replace("+00:00", "Z"),
        "http_status_code": _status(observed),
        "provider_response_id": _response_id(answer, fallback_id),
    }
    if timing.end_to_end_ms is not None:
        item["end_to_end_latency_ms"] = timing.end_to_end_ms
    if timing.first_token_ms is not None:
        item["time_to_first_token_ms"] = timing.first_token_ms
    if timing.first_completion_ms is not None:
        item["time_to_first_completion_token_ms"] = timing.first_completion_ms
    if observed.provider_uri:
        item["provider_uri"] = observed.provider_uri
    if properties := {**_automatic_properties(observed, resource), **notes, **_request_properties(annotations)}:
        item["properties"] = properties
    if annotations.use_case_properties:
        item["use_case_properties"] = dict(annotations.use_case_properties)
    if answer.function_calls:
        item["provider_response_function_calls"] = _function_calls(observed)
    if (content := observed.content) is not None:
        if content.request:
            item["provider_request_json"] = content.request
        if content.response:
            item["provider_response_json"] = content.response
    return item


def redacted(item: dict[str, Any], redact: Callable[[dict[str, Any]], dict[str, Any]]) -> dict[str, Any]:
    """Let the app have its last word on what leaves the process.

    Raises:
        TypeError, ValueError: the app returned something else than a report's body, or what has no JSON form.
        Exception: whatever the app raises.
    """
    allowed: object = redact(item)
    if not isinstance(allowed, dict) or not {"category", "provider_response_id"} <= allowed.keys():
        raise TypeError("redact must return the body that may be sent")
    return checked(allowed)


def checked(item: dict[str, Any]) -> dict[str, Any]:
    """Return what the app itself has put together as JSON has it: what its dates, say, are to be is not guessed at.

    Raises:
        TypeError, ValueError: it has no JSON form.
    """
    plain: dict[str, Any] = json.loads(_ENCODE(item))
    return plain


def context_fields(annotations: Annotations, hash_user: Callable[[str], str] | None = None) -> dict[str, Any]:
    """Return the annotations as the context fields of a bulk item."""
    if annotations is NOTHING:
        return {}
    fields = {name: getattr(annotations, attribute) for attribute, name in _CONTEXT_FIELDS.items()}
    if annotations.user_id is not None and hash_user is not None:
        fields["user_id"] = hash_user(annotations.user_id)
    return {
        name: list(value) if isinstance(value, tuple) else value
        for name, value in fields.items()
        if value not in (None, "", ())
    }


def annotated_item(
    match: Match,
    annotations: Annotations,
    *,
    hash_user: Callable[[str], str] | None = None,
    redact: Callable[[dict[str, Any]], dict[str, Any]] | None = None,
) -> dict[str, Any]:
    """Return what leaves the process with a call that goes through Pay-i: the part of its report that it begins with.

    Raises:
        Exception: whatever `redact` raises; then the call must not go there.
    """
    item: dict[str, Any] = {
        "category": annotations.price_as_category or match.category,
        "provider_response_id": "payi_to_come",
        **context_fields(annotations, hash_user),
        "properties": _request_properties(annotations),
        "use_case_properties": dict(annotations.use_case_properties or {}),
    }
    if redact is not None:
        item = redacted(item, redact)
    priced = {"price_as_category": annotations.price_as_category, "price_as_resource": annotations.price_as_resource}
    return {**item, **{name: value for name, value in priced.items() if value is not None}}


def user_hash(key: str) -> Callable[[str], str]:
    """Return a function that turns user ids into HMAC-SHA256 of `key`, in hex (RFC 2104).

    Raises:
        ConfigurationError: the key is empty.
    """
    if not key:
        raise ConfigurationError("user_id_hmac_key", "the key is empty", "Set a long random text, or leave it out.")
    secret = key.encode()
    return lambda user_id: hmac.new(secret, user_id.encode(errors="surrogatepass"), hashlib.sha256).hexdigest()


def _response_id(answer: Answer, fallback: str | None) -> str:
    """Return the id that makes the report idempotent: the provider's, unless it gives the same to other answers."""
    return answer.response_id if answer.response_id and answer.unique_id else fallback or f"payi_{uuid4()}"


def _resource(observed: Observed) -> str:
    asked, answered = observed.asked.model or observed.match.model_from_path, observed.answer.model
    first, second = (answered, asked) if observed.match.resource_from == "response" else (asked, answered)
    model = first or second
    return observed.match.resource(model) if model else UNKNOWN_MODEL


def _status(observed: Observed) -> int:
    if observed.status is not None and observed.status >= 400:
        return observed.status
    if observed.failure is not None or observed.answer.error_code is not None or observed.status is None:
        return CLIENT_FAILURE
    return observed.status


def _automatic_properties(observed: Observed, resource: str) -> dict[str, str]:
    answer = observed.answer
    properties: dict[str, str] = {**dict(observed.match.notes), **observed.asked.notes, **answer.notes}
    if observed.failure is not None:
        properties["system.failure"] = observed.failure
    elif answer.error_code is not None or (observed.status or 0) >= 400:
        properties["system.failure"] = answer.error_code or f"http_{observed.status}"
        if answer.error_message and observed.content is not None:  # providers quote prompts and keys in their errors
            properties["system.failure.description"] = answer.error_message
    if observed.ended_early:
        properties["system.stream"] = "ended before the provider's last event"
    if answer.model and observed.match.resource(answer.model) != resource:
        properties["system.response_model"] = answer.model
    if answer.response_id and not answer.unique_id:
        properties["system.provider_response_id"] = answer.response_id
    if answer.service_tier not in (None, "default", "standard", "auto"):
        properties["system.service_tier"] = answer.service_tier
    return properties


def _request_properties(annotations: Annotations) -> dict[str, str | None]:
    properties = dict(annotations.request_properties or {})
    if annotations.session_id:
        properties.setdefault("session_id", annotations.session_id)
    return properties


def _function_calls(observed: Observed) -> list[dict[str, str]]:
    with_arguments = observed.content is not None
    return [
        {"name": call.name, **({"arguments": call.arguments} if with_arguments and call.arguments else {})}
        for call in observed.answer.function_calls
    ]
