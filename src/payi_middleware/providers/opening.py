"""Which reader a response gets."""

from __future__ import annotations

from collections.abc import Mapping

from .framing import is_json
from .match import Match
from .reader import AnyReader, Reader
from .registry import FORMATS
from .whole import Whole

__all__ = ["open_reader"]


def open_reader(match: Match, status: int, headers: Mapping[str, str]) -> Reader:
    """Return a reader for the response to a matched request; `headers` is read by lower-case name."""
    reading = FORMATS[match.api]
    if reading.framing != "lines" and is_json(headers.get("content-type") or ""):
        return Whole(reading, match, status, headers)
    return AnyReader(reading, match, status, headers)
