"""The headers of an ingest request, turned into the fields that a bulk item has in its body."""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Mapping
from typing import Any

from payi_middleware.service.accounts.exchanges import FIELDS, without_content
from payi_middleware.service.errors import invalid

_TEXTS = {
    "xproxy-usecase-name": "use_case_name",
    "xproxy-usecase-id": "use_case_id",
    "xproxy-usecase-step": "use_case_step",
    "xproxy-user-id": "user_id",
    "xproxy-account-name": "account_name",
    "xproxy-resource-scope": "scope",
}
_OLD = {"use_case_name": "xproxy-experience-name", "use_case_id": "xproxy-experience-id"}
"""Older names: https://docs.pay-i.com/docs/list-of-all-supported-headers"""
_LISTS = {"xproxy-limit-ids": "limit_ids", "xproxy-request-tags": "request_tags"}
_PROPERTIES = {"xproxy-request-properties": "properties", "xproxy-usecase-properties": "use_case_properties"}
_VERSION = "xproxy-usecase-version"
_LOGGING_DISABLE = "xproxy-logging-disable"


def ingest_item(body: Any, headers: Mapping[str, str], query_id: str | None) -> dict[str, Any]:
    """Return the bulk item that an ingest request amounts to.

    Args:
        body: the parsed JSON body. What a header says takes the place of the body's field.
        headers: the request's headers, looked up in lower case.
        query_id: the `id` of the query, which repeats the body's `provider_response_id`.

    Raises:
        ServiceError: the body is no object, or a header cannot be read.
    """
    if not isinstance(body, Mapping):
        raise invalid("the body must be a JSON object")
    item = dict(body)
    item.update((field, headers[name]) for field, name in _OLD.items() if headers.get(name))
    item.update((field, headers[name]) for name, field in _TEXTS.items() if headers.get(name))
    item.update((field, _listed(headers[name])) for name, field in _LISTS.items() if headers.get(name))
    if headers.get(_VERSION):
        item["use_case_version"] = _version(headers[_VERSION])
    for name, field in _PROPERTIES.items():
        if headers.get(name):
            item[field] = {**_properties(name, headers[name]), **_object(item.get(field))}
    if query_id and not item.get("provider_response_id"):
        item["provider_response_id"] = query_id
    if headers.get(_LOGGING_DISABLE) == "True":
        kept = without_content({name: item[name] for name in FIELDS if name in item})
        item = {name: value for name, value in item.items() if name not in FIELDS} | kept
    return item


def _listed(value: str) -> list[str]:
    return [part for part in (part.strip() for part in value.split(",")) if part]


def _version(value: str) -> int:
    if not (value.isascii() and value.isdigit() and len(value) < 16):
        raise invalid("xProxy-UseCase-Version must be an integer")
    return int(value)


def _object(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _properties(name: str, value: str) -> Mapping[str, Any]:
    """Read properties: JSON as it is, or in base64 as the proxy's callers send it."""
    try:
        text = value if value.lstrip().startswith("{") else base64.b64decode(value, validate=True)
        parsed = json.loads(text)
    except (ValueError, RecursionError, binascii.Error) as exc:
        raise invalid(f"{name} must be a JSON object, plain or in base64", "invalid_json") from exc
    if not isinstance(parsed, Mapping):
        raise invalid(f"{name} must be a JSON object, plain or in base64", "invalid_json")
    return parsed
