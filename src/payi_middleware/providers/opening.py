"""Which reader a response gets, and what of the response's headers it can be of use to."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from .answer import Answer
from .framing import JSON, is_json
from .match import Match
from .reader import AnyReader, Reader
from .registry import FORMATS
from .whole import Whole, read_plainly

__all__ = ["PLAIN", "READ_HEADERS", "comes_plain", "open_reader", "read_answer"]

_PIECE = 32_768
PLAIN = JSON
"""What the content type of nearly every answer is that comes whole."""

READ_HEADERS = MappingProxyType(
    {
        name.encode(): name
        for name in {
            "content-type",
            "content-encoding",
            "x-amzn-errortype",
            *(name for reading in FORMATS.values() for name in reading.headers),
        }
    }
)
"""The names, in lower case, of the headers that a reader looks at: of the twenty that come, two or three."""


def comes_plain(match: Match) -> bool:
    """Return whether an answer that is one JSON object says what it is when it is read later, and may be kept as it is.

    It may not where an answer has in it what was asked.
    """
    reading = FORMATS[match.api]
    return reading.framing != "lines" and not reading.repeats


def open_reader(match: Match, status: int, headers: Mapping[str, str]) -> Reader:
    """Return a reader for the response to a matched request; `headers` is read by lower-case name."""
    reading = FORMATS[match.api]
    content_type = headers.get("content-type") or ""
    if reading.framing != "lines" and (content_type == JSON or is_json(content_type)):
        return Whole(reading, match, status, headers)
    return AnyReader(reading, match, status, headers)


def read_answer(match: Match, status: int, headers: Mapping[str, str], body: bytes) -> Answer:
    """Read the whole body of such a response, as such a reader would."""
    reading = FORMATS[match.api]
    if body.startswith(b"{") and reading.framing != "lines" and is_json(headers.get("content-type") or ""):
        answer = read_plainly(reading, match, status, headers, body)
        if answer is not None:
            return answer
    reader = open_reader(match, status, headers)
    for start in range(0, len(body), _PIECE):
        reader.feed(body[start : start + _PIECE])
    return reader.finish()
