"""Headers by their names, undecoded: there are some twenty in each message, of which two or three are looked at."""

from __future__ import annotations

from operator import itemgetter
from typing import Any

__all__ = ["by_name"]

_NAME_AND_VALUE = itemgetter(1, 2)
"""Of what both libraries keep, and compute their views of at each look: a name, that in lower case, and a value."""


def by_name(headers: Any) -> dict[bytes, bytes]:
    """Return headers by their names in lower case; of several that have one name, the last.

    Args:
        headers: httpx's or httpx2's, or a mapping of text to text.
    """
    try:
        told = dict(map(_NAME_AND_VALUE, headers._list))
        if told:  # of none at all it is not known whether they are kept there
            return told
    except (AttributeError, IndexError, TypeError, ValueError):
        pass
    raw = getattr(headers, "raw", None)
    if isinstance(raw, list):
        return {name.lower(): value for name, value in raw}
    return {
        str(name).lower().encode(errors="replace"): str(value).encode("latin-1", "replace")
        for name, value in headers.items()
    }
