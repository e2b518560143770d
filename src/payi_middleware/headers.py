"""`xProxy-*` headers ⇄ annotations, and summaries ⇄ `X-Payi-*` headers."""

from __future__ import annotations

import binascii
import json
import re
from base64 import b64decode, b64encode
from collections.abc import Callable, Iterable, Mapping
from decimal import Decimal, InvalidOperation
from typing import Any
from urllib.parse import quote, unquote

from .annotations import NOTHING, Annotations
from .log import warn
from .results import Summary, decimal_text

CALL_PREFIX = "xproxy-"

_TEXT_HEADERS = {
    "xProxy-User-ID": "user_id",
    "xProxy-Account-Name": "account_name",
    "xProxy-UseCase-Name": "use_case_name",
    "xProxy-UseCase-ID": "use_case_id",
    "xProxy-UseCase-Step": "use_case_step",
    "xProxy-Resource-Scope": "resource_scope",
    "xProxy-PriceAs-Category": "price_as_category",
    "xProxy-PriceAs-Resource": "price_as_resource",
}
_LIST_HEADERS = {"xProxy-Limit-IDs": "limit_ids", "xProxy-Request-Tags": "request_tags"}
_JSON_HEADERS = {
    "xProxy-Request-Properties": "request_properties",
    "xProxy-UseCase-Properties": "use_case_properties",
}
_VERSION_HEADER = "xProxy-UseCase-Version"
LOGGING_HEADER = "xProxy-Logging-Disable"
MODULE_HEADER = "xProxy-Instrumented-Module"
API_KEY_HEADER = "xProxy-api-key"

ANNOTATION_HEADERS = (*_TEXT_HEADERS, *_LIST_HEADERS, *_JSON_HEADERS, _VERSION_HEADER, LOGGING_HEADER)
"""Every `xProxy-*` header that annotates; https://docs.pay-i.com/docs/list-of-all-supported-headers"""


def read_annotations(header: Callable[[str], str | None]) -> Annotations:
    """Read `xProxy-*` headers into a layer of annotations. A header that cannot be read counts as absent.

    Args:
        header: returns a header's value by name, or None where it is absent. Present and empty takes away.
    """
    values: dict[str, Any] = {}
    for name, field in _TEXT_HEADERS.items():
        if (text := header(name)) is not None:
            values[field] = text.strip()
    for name, field in _LIST_HEADERS.items():
        if (text := header(name)) is not None:
            values[field] = tuple(item.strip() for item in text.split(",") if item.strip())
    for name, field in _JSON_HEADERS.items():
        if (text := header(name)) is not None and (properties := _read_properties(name, text)) is not None:
            values[field] = properties
    if (text := header(_VERSION_HEADER)) is not None:
        if text.strip().isascii() and text.strip().isdigit() and len(text.strip()) <= 9:
            values["use_case_version"] = int(text)
        elif text.strip():
            warn(f"header {_VERSION_HEADER}", "The header %s is not a whole number: it was ignored", _VERSION_HEADER)
    if (text := header(LOGGING_HEADER)) is not None:
        values["log_prompt_and_response"] = text.strip() == "False"
    return Annotations(**values) if values else NOTHING


def _read_properties(name: str, text: str) -> dict[str, str | None] | None:
    """Read compact JSON, plain or in base64 as it travels to Pay-i's proxy."""
    text = text.strip()
    try:
        value = json.loads(text if text.startswith("{") or not text else b64decode(text, validate=True)) if text else {}
        if isinstance(value, dict):
            return {str(key): None if item is None else str(item) for key, item in value.items()}
    except (ValueError, binascii.Error, RecursionError):
        pass
    warn(f"header {name}", "The header %s is not a JSON object: it was ignored", name)
    return None


_ITEM_HEADERS = {
    "user_id": "xProxy-User-ID",
    "account_name": "xProxy-Account-Name",
    "use_case_name": "xProxy-UseCase-Name",
    "use_case_id": "xProxy-UseCase-ID",
    "use_case_version": _VERSION_HEADER,
    "use_case_step": "xProxy-UseCase-Step",
    "scope": "xProxy-Resource-Scope",
    "limit_ids": "xProxy-Limit-IDs",
    "request_tags": "xProxy-Request-Tags",
}


def split_item(item: Mapping[str, Any]) -> tuple[dict[str, str], dict[str, Any]] | None:
    """Split a bulk item into the headers and the body of a single ingest request.

    Returns:
        Headers and body, or None if a value cannot travel in a header unharmed: non-ASCII, control characters, blanks
        at its ends, or a comma inside a list. Such a report goes as a bulk item, whose body is UTF-8.
    """
    headers: dict[str, str] = {}
    for field, name in _ITEM_HEADERS.items():
        value = item.get(field)
        if value is None:
            continue
        parts = [str(part) for part in value] if isinstance(value, (list, tuple)) else [str(value)]
        if not all(map(_fits, parts)) or (isinstance(value, (list, tuple)) and any("," in part for part in parts)):
            return None
        headers[name] = ",".join(parts)
    return headers, {field: value for field, value in item.items() if field not in _ITEM_HEADERS}


_PRICED_AS = {"price_as_category": "xProxy-PriceAs-Category", "price_as_resource": "xProxy-PriceAs-Resource"}
_PROPERTIES = {"properties": "xProxy-Request-Properties", "use_case_properties": "xProxy-UseCase-Properties"}


def proxy_headers(item: Mapping[str, Any]) -> dict[str, str] | None:
    """Write the annotations of a call as the headers that it goes through Pay-i's proxy with.

    Args:
        item: the context fields of a bulk item, its properties, `price_as_category` and `price_as_resource`.

    Returns:
        None if a value cannot travel in a header unharmed; see `split_item`. Properties always can: they go in base64.
    """
    split = split_item(item)
    if split is None:
        return None
    headers, rest = split
    for field, name in _PRICED_AS.items():
        if (value := rest.get(field)) is not None:
            if not _fits(value):
                return None
            headers[name] = value
    for field, name in _PROPERTIES.items():
        if properties := rest.get(field):
            text = json.dumps(dict(properties), separators=(",", ":"))
            headers[name] = b64encode(text.encode()).decode("ascii")
    return headers


def _fits(value: str) -> bool:
    return value.isascii() and value.isprintable() and value == value.strip() and bool(value)


# --- the response headers -------------------------------------------------------------------------------------------

_SAFE = "!#$&'*+-.^_`|~"
"""The token characters of RFC 9110, section 5.6.2, without "%", which introduces an escape here."""

_ROOM = {
    "X-Payi-Request-Id": 1400,
    "X-Payi-Resource-Id": 500,
    "X-Payi-Use-Case-Id": 500,
    "X-Payi-Limits": 700,
    "X-Payi-Blocked-Limit-Ids": 500,
    "X-Payi-Cost-Currency": 16,
}
"""Bytes that each list may take, so that all headers together stay below 4 KiB."""
_WHOLE_DIGITS, _DECIMAL_PLACES = 15, 30
"""An amount with more is no amount of money, and could fill the room of all headers."""


SUMMARY_HEADERS = (
    "X-Payi-Calls",
    "X-Payi-Status",
    "X-Payi-Request-Id",
    "X-Payi-Resource-Id",
    "X-Payi-Use-Case-Id",
    "X-Payi-Limits",
    "X-Payi-Blocked-Limit-Ids",
    "X-Payi-Cost",
    "X-Payi-Cost-Input",
    "X-Payi-Cost-Output",
    "X-Payi-Cost-Currency",
    "X-Payi-Cost-Source",
)
"""Every header that a summary may have."""


def write_summary(summary: Summary) -> list[tuple[str, str]]:
    """Write a summary as response headers: at most 4 KiB in all, tokens and separators only."""
    headers = [("X-Payi-Calls", str(summary.calls)), ("X-Payi-Status", summary.status)]
    for name, tokens in (
        ("X-Payi-Request-Id", summary.request_ids),
        ("X-Payi-Resource-Id", summary.resource_ids),
        ("X-Payi-Use-Case-Id", summary.use_case_ids),
        ("X-Payi-Limits", summary.limits),
        ("X-Payi-Blocked-Limit-Ids", summary.blocked_limit_ids),
    ):
        if tokens:
            states = tokens if isinstance(tokens, dict) else None
            items = map(_token, tokens) if states is None else (f"{_token(k)}={_token(v)}" for k, v in states.items())
            if value := _joined(items, _ROOM[name]):
                headers.append((name, value))
    if (cost := _written(summary.cost)) is not None:
        headers.append(("X-Payi-Cost", cost))
    if (part := _written(summary.cost_input)) is not None:
        headers.append(("X-Payi-Cost-Input", part))
    if (part := _written(summary.cost_output)) is not None:
        headers.append(("X-Payi-Cost-Output", part))
    if cost is not None:
        if currency := _joined((_token(summary.cost_currency or "usd"),), _ROOM["X-Payi-Cost-Currency"]):
            headers.append(("X-Payi-Cost-Currency", currency))
        headers.append(("X-Payi-Cost-Source", summary.cost_source or "payi"))
    return headers


_PLAIN_AMOUNT = re.compile(rf"-?\d{{1,{_WHOLE_DIGITS}}}(?:\.\d{{1,{_DECIMAL_PLACES}}})?", re.ASCII)
_PLAIN_TOKEN = re.compile(rf"[A-Za-z0-9{re.escape(_SAFE)}]*")


def _written(amount: Decimal | None) -> str | None:
    """Write an amount; None where it is none, or takes too much room."""
    if amount is None:
        return None
    text = str(amount)
    if _PLAIN_AMOUNT.fullmatch(text):
        return (text.rstrip("0").rstrip(".") or "0") if "." in text else text
    if not amount.is_finite() or amount.adjusted() >= _WHOLE_DIGITS:
        return None
    return decimal_text(amount) if int(amount.as_tuple().exponent) >= -_DECIMAL_PLACES else None


def _token(value: str) -> str:
    return value if _PLAIN_TOKEN.fullmatch(value) else quote(value, safe=_SAFE, errors="replace")


def _joined(items: Iterable[str], room: int) -> str:
    kept: list[str] = []
    for item in items:
        room -= len(item) + 2
        if room < 0:
            break
        kept.append(item)
    return ", ".join(kept)


def parse_headers(headers: Mapping[str, str]) -> Summary:
    """Read a summary back from the headers of a response.

    Args:
        headers: the response's headers, of any HTTP client; names are compared case-insensitively.

    Returns:
        The summary; one without calls where there are no `X-Payi-*` headers. What cannot be read counts as absent.
    """
    given = {name.lower(): value for name, value in headers.items() if name.lower().startswith("x-payi-")}

    def items(name: str) -> tuple[str, ...]:
        return tuple(part.strip() for part in given.get(name, "").split(",") if part.strip())

    def texts(name: str) -> tuple[str, ...]:
        return tuple(map(unquote, items(name)))

    calls = given.get("x-payi-calls", "")
    source = given.get("x-payi-cost-source")
    pairs = (item.partition("=") for item in items("x-payi-limits"))
    return Summary(
        calls=int(calls) if calls.isascii() and calls.isdigit() and len(calls) <= 9 else 0,
        status="pending" if given.get("x-payi-status") == "pending" else "final",
        request_ids=texts("x-payi-request-id"),
        resource_ids=texts("x-payi-resource-id"),
        use_case_ids=texts("x-payi-use-case-id"),
        cost=_decimal(given.get("x-payi-cost")),
        cost_input=_decimal(given.get("x-payi-cost-input")),
        cost_output=_decimal(given.get("x-payi-cost-output")),
        cost_currency=given.get("x-payi-cost-currency"),
        cost_source=source if source in ("payi", "estimate", "mixed") else None,  # type: ignore[arg-type]
        limits={unquote(limit_id): unquote(state) for limit_id, _, state in pairs},
        blocked_limit_ids=texts("x-payi-blocked-limit-ids"),
    )


def _decimal(text: str | None) -> Decimal | None:
    try:
        amount = None if text is None else Decimal(text)
    except InvalidOperation:
        return None
    return amount if amount is not None and amount.is_finite() else None
