"""What was said to and by the provider, as a report tells it: kept only where it is sent."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from payi_middleware.service.errors import invalid

__all__ = ["FIELDS", "exchange_in", "without_content"]

_TEXTS = ("provider_uri", "provider_request_json", "provider_request_reasoning_json")
_ANSWER = "provider_response_json"
_FUNCTION_CALLS = "provider_response_function_calls"
_LISTS = {
    "provider_request_headers": "value",
    "provider_response_headers": "value",
    _FUNCTION_CALLS: "arguments",
}
"""Lists of objects with a `name` and, where there is one, a text of this name."""
FIELDS = (*_TEXTS, _ANSWER, *_LISTS)
_FIELDS = frozenset(FIELDS)
_CONTENT = ("_json", "_headers")
"""How the fields end that hold what the user and the model said, or secrets."""


def exchange_in(item: Mapping[str, Any]) -> dict[str, Any]:
    """Return those of an event's fields that say what was said to and by the provider.

    Raises:
        ServiceError: one of them is no text, or list, of the kind that it has to be.
    """
    told = {name: item[name] for name in _here(item) if item[name] not in (None, "", [])}
    for name, value in told.items():
        if name in _LISTS:
            told[name] = _named(name, value)
        elif not (isinstance(value, str) or (name == _ANSWER and _is_texts(value))):
            raise invalid(f"{name} must be a text{' or a list of texts' if name == _ANSWER else ''}")
    return told


def _here(item: Mapping[str, Any]) -> Iterable[str]:
    here = _FIELDS & item.keys()
    return [name for name in FIELDS if name in here] if len(here) > 1 else here


def _is_texts(value: Any) -> bool:
    return isinstance(value, list | tuple) and all(isinstance(text, str) for text in value)


def _named(name: str, value: Any) -> list[dict[str, Any]]:
    other = _LISTS[name]
    if not isinstance(value, list | tuple) or not all(
        isinstance(one, Mapping) and isinstance(one.get("name"), str) and isinstance(one.get(other), str | None)
        for one in value
    ):
        raise invalid(f"{name} must be a list of objects with a name and, if any, {other}, which are texts")
    return [{key: one[key] for key in ("name", other) if key in one} for one in value]


def without_content(exchange: Mapping[str, Any]) -> dict[str, Any]:
    """Return what is kept of these fields where logging is disabled: where it went, and the functions' names."""
    kept = {name: told for name, told in exchange.items() if not name.endswith(_CONTENT)}
    if isinstance(calls := kept.get(_FUNCTION_CALLS), list | tuple):
        # What the model wrote is in the arguments. Pay-i's own SDK sends them whether or not logging is disabled.
        kept[_FUNCTION_CALLS] = [{"name": call.get("name")} if isinstance(call, Mapping) else call for call in calls]
    return kept
