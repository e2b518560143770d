"""Which reader a response gets, and what of the response's headers it can be of use to."""

from __future__ import annotations

from collections.abc import Mapping

from .framing import is_json
from .match import Match
from .reader import AnyReader, Reader
from .registry import FORMATS
from .whole import Whole

__all__ = ["READ_HEADERS", "open_reader"]

_MOST_NAMES = 1024


class _ReadHeaders(dict[bytes, str]):
    """The names of the headers that a reader looks at, in lower case, by how they come; no name for any other.

    Providers send some twenty headers of which two or three are read, and the same ones again and again.
    """

    def __init__(self) -> None:
        super().__init__()
        told = {name for reading in FORMATS.values() for name in reading.headers}
        self._read = told | {"content-type", "content-encoding", "x-amzn-errortype"}

    def __missing__(self, name: bytes) -> str:
        lower = name.lower().decode("latin-1")
        read = lower if lower in self._read else ""
        if len(self) < _MOST_NAMES:
            self[name] = read
        return read


READ_HEADERS = _ReadHeaders()


def open_reader(match: Match, status: int, headers: Mapping[str, str]) -> Reader:
    """Return a reader for the response to a matched request; `headers` is read by lower-case name."""
    reading = FORMATS[match.api]
    if reading.framing != "lines" and is_json(headers.get("content-type") or ""):
        return Whole(reading, match, status, headers)
    return AnyReader(reading, match, status, headers)
