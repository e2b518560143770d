"""Headers as they are kept, undecoded: there are some twenty in each message, of which two or three are looked at."""

from __future__ import annotations

from operator import itemgetter
from typing import Any

__all__ = ["Row", "listed"]

Row = tuple[bytes, bytes, bytes]
"""A header as both libraries keep it, and compute what they show of it at each look: its name, also in lower case, and
its value."""
_LOWER = itemgetter(1)


def listed(headers: Any) -> tuple[list[bytes], list[Row]]:
    """Return the names of headers, in lower case, and the headers.

    A dictionary would take twice the time, and is asked for two or three.

    Args:
        headers: httpx's or httpx2's, or a mapping of text to text.
    """
    try:
        rows: list[Row] = headers._list
        rows[0][2]
        return list(map(_LOWER, rows)), rows
    except (AttributeError, IndexError, TypeError):  # there are none, or they are kept in another way
        pass
    raw = getattr(headers, "raw", None)
    if isinstance(raw, list):
        rows = [(name, name.lower(), value) for name, value in raw]
    else:
        rows = [_encoded(str(name), str(value)) for name, value in headers.items()]
    return list(map(_LOWER, rows)), rows


def _encoded(name: str, value: str) -> Row:
    encoded = name.encode(errors="replace")
    return encoded, name.lower().encode(errors="replace"), value.encode("latin-1", "replace")
