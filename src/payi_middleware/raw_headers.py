"""Headers by their names, undecoded: there are some twenty in each message, of which two or three are looked at."""

from __future__ import annotations

from typing import Any

__all__ = ["by_name"]


def by_name(headers: Any) -> dict[bytes, bytes]:
    """Return headers by their names in lower case; of several that have one name, the last.

    Args:
        headers: httpx's or httpx2's, or a mapping of text to text.
    """
    # What both libraries keep, and compute their views of at each look: the name, that in lower case, and the value.
    try:
        _, names, values = zip(*headers._list, strict=True)
        return dict(zip(names, values, strict=True))
    except (AttributeError, TypeError, ValueError):
        pass
    raw = getattr(headers, "raw", None)
    if isinstance(raw, list):
        return {name.lower(): value for name, value in raw}
    return {
        str(name).lower().encode(errors="replace"): str(value).encode("latin-1", "replace")
        for name, value in headers.items()
    }
