"""Checks of single values of a request body. Each returns the value cleaned, or refuses it with Pay-i's code."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from payi_middleware.service.errors import invalid
from payi_middleware.service.store import clock
from payi_middleware.service.store.encoding import is_storable

MAX_AHEAD = timedelta(minutes=5)
"""An event may not lie further in the future: https://docs.pay-i.com/docs/error-code-strings"""

MAX_TEXT = 4096
"""Characters of the longest text accepted."""

MAX_NAME = 512
"""Characters of the longest id or name that is looked up by an index."""

_EARLIEST = clock.from_micros(0)
_MAX_INTEGER = 2**53
MAX_MILLISECONDS = 10**10
"""The longest duration accepted, over a hundred days: sums of a billion of them stay in 64 bits."""
_TAG = re.compile(r"[A-Za-z0-9_-]+")
_USE_CASE_NAME = re.compile(r"[A-Za-z0-9._-]{1,64}")


def text(name: str, value: Any, code: str = "request_processing_error", maximum: int = MAX_TEXT) -> str | None:
    """Return a text, or None where there is none; an empty text is none."""
    if value is None or value == "":
        return None
    if not isinstance(value, str):
        raise invalid(f"{name} must be a text", code)
    if len(value) > maximum:
        raise invalid(f"{name} is longer than {maximum} characters", code)
    if not is_storable(value):
        raise invalid(f"{name} has characters that cannot be stored", code)
    return value


def integer(name: str, value: Any, maximum: int = _MAX_INTEGER) -> int | None:
    """Return an integer from 0 to a maximum, or None where there is none."""
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= maximum:
        raise invalid(f"{name} must be an integer from 0 to {maximum}")
    return value


def milliseconds(name: str, value: Any) -> int | None:
    """Return a duration in milliseconds; a fraction is rounded rather than the event refused."""
    if isinstance(value, float) and math.isfinite(value):
        value = round(value)
    return integer(name, value, MAX_MILLISECONDS)


def properties(name: str, value: Any) -> dict[str, str | None]:
    """Return properties: texts by name; a null takes a key away."""
    if value is None:
        return {}
    if not isinstance(value, Mapping):
        raise invalid(f"{name} must be an object of texts")
    for key, item in value.items():
        if not isinstance(key, str) or not (item is None or isinstance(item, str)):
            raise invalid(f"{name} must have texts, or null, as values")
    return dict(value)


def tags(value: Any) -> list[str]:
    """Return request tags, each once."""
    if not isinstance(value, list | tuple) or not all(isinstance(tag, str) and _TAG.fullmatch(tag) for tag in value):
        raise invalid("request_tags must be a list of letters, digits, '_' and '-'", "invalid_tags")
    return list(dict.fromkeys(value))


def limit_ids(value: Any) -> list[str]:
    """Return limit ids, trimmed, without empty ones."""
    if not isinstance(value, list | tuple) or not all(isinstance(limit_id, str) for limit_id in value):
        raise invalid("limit_ids must be a list of texts", "invalid_limit_ids")
    trimmed = (text("limit_ids", limit_id.strip(), "invalid_limit_ids", MAX_NAME) for limit_id in value)
    ids = [limit_id for limit_id in trimmed if limit_id]
    if len(ids) != len(set(ids)):
        raise invalid("limit_ids names a limit twice", "duplicate_limit_id")
    return ids


def use_case_name(value: Any) -> str | None:
    """Return the name of a use case."""
    if value is None or value == "":
        return None
    if not isinstance(value, str) or not _USE_CASE_NAME.fullmatch(value):
        raise invalid("use_case_name must be 1 to 64 letters, digits, '.', '-' and '_'", "invalid_use_case_name")
    return value


def event_time(value: Any, received: datetime) -> datetime:
    """Return the time of an event in UTC: the time it was received where it names none."""
    code = "invalid_ingest_event_timestamp"
    if value is None or value == "":
        return received
    if not isinstance(value, str | datetime):
        raise invalid("event_timestamp must be an ISO 8601 date-time", code)
    try:
        moment = clock.as_utc(datetime.fromisoformat(value) if isinstance(value, str) else value)
    except (ValueError, OverflowError) as exc:
        raise invalid("event_timestamp must be an ISO 8601 date-time", code) from exc
    if moment < _EARLIEST:
        raise invalid("event_timestamp lies before 1970", code)
    if moment > received + MAX_AHEAD:
        raise invalid("event_timestamp is more than 5 minutes ahead", code)
    return moment
