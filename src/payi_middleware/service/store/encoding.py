"""How values of our columns are given to a driver."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any, NamedTuple

from pydantic_core import to_json
from sqlalchemy import JSON, Boolean, Dialect, LargeBinary
from sqlalchemy.types import TypeEngine

__all__ = ["Encoded", "binder", "decoded", "encoded", "encoded_states", "is_storable"]


class Encoded(NamedTuple):
    """A value that has been made JSON before it is given to a driver."""

    value: Any
    text: str


def encoded(value: Any) -> Encoded:
    """Make a value JSON, for a column of that type."""
    return Encoded(value, _encode(value))


def encoded_states(states: Mapping[str, str]) -> Encoded:
    """Make texts by their names JSON, of which the same come again and again."""
    return Encoded(states, _states_text(tuple(states.items())))


def decoded(value: Any) -> Any:
    """Return the value of a column, whether it was encoded or not."""
    return value.value if type(value) is Encoded else value


def binder(kind: TypeEngine[Any], dialect: Dialect) -> Callable[[Any], Any] | None:
    """Return what turns a column's values, but for None, into what the driver takes; None if they are that already."""
    if isinstance(kind, JSON):
        return _json
    if isinstance(kind, Boolean) and not dialect.supports_native_boolean:
        return int
    if isinstance(kind, LargeBinary):
        return bytearray if dialect.name == "sqlite" else None  # `sqlite3` looks for an adapter of bytes: see `writing`
    return kind.dialect_impl(dialect).bind_processor(dialect)


def _json(value: Any) -> str:
    return value.text if type(value) is Encoded else _encode(value)


@lru_cache(maxsize=1024)
def _states_text(states: tuple[tuple[str, str], ...]) -> str:
    return _encode(dict(states))


_ENCODE = json.JSONEncoder(check_circular=False, separators=(",", ":")).encode


def _encode(value: Any) -> str:
    """Do what `json.dumps` does, for what has been JSON before and holds no circle."""
    try:
        text = to_json(value).decode()
    except ValueError:  # it is nested deeper than that goes, or holds half a surrogate pair
        return _ENCODE(value)
    return text if text.isascii() else _ENCODE(value)  # whatever a database's own encoding is, it has those


def is_storable(value: str) -> bool:
    """Return whether both databases can store a text: PostgreSQL has no NUL, and neither has half a surrogate pair."""
    if "\0" in value:
        return False
    if value.isascii():
        return True
    try:
        value.encode()
    except UnicodeEncodeError:  # JSON can spell it
        return False
    return True
