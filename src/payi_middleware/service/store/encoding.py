"""How values of our columns are given to a driver."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from sqlalchemy import JSON, Dialect, LargeBinary
from sqlalchemy.types import TypeEngine

__all__ = ["binder"]


def binder(kind: TypeEngine[Any], dialect: Dialect) -> Callable[[Any], Any] | None:
    """Return what turns a column's values, but for None, into what the driver takes; None if they are that already."""
    if isinstance(kind, JSON):
        return _json_text
    if isinstance(kind, LargeBinary):
        return None  # both drivers take bytes
    return kind.dialect_impl(dialect).bind_processor(dialect)


_json_text = json.JSONEncoder(check_circular=False).encode
"""As `json.dumps` does, for what has been JSON before and holds no circle."""
