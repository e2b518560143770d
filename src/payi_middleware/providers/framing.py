"""Tell how an answer is framed: whichever way, its events reach the wire formats as server-sent events."""

from __future__ import annotations

from typing import Protocol

from .aws_events import AwsEvents
from .json_objects import JsonObjects
from .wire import Events
from .wiring import Framing

__all__ = ["JSON", "Frames", "comes_whole", "frames_of", "is_json", "is_opaque", "is_stream"]

_SSE_STARTS = b"deir:\xef"  # data, event, error, id, retry, a comment, a byte order mark
_LINES = ("ndjson", "jsonl", "stream+json")
JSON = "application/json"
_OPAQUE = ("audio/", "image/", "video/")


class Frames(Protocol):
    """Cut a stream into blocks of complete server-sent events."""

    def feed(self, chunk: bytes) -> bytes:
        """Return the events that `chunk` (at most 32 KiB) completes, each with its blank line; see `wire.ELEMENT`."""

    def rest(self) -> bytes:
        """Return the event that the stream broke off in, empty where it did not."""


def is_opaque(content_type: str) -> bool:
    """Return whether the answer is what was generated and nothing else, such as speech."""
    return content_type.startswith(_OPAQUE)


def is_stream(content_type: str) -> bool:
    """Return whether the content type announces events that should be read as they come."""
    return "stream" in content_type or any(kind in content_type for kind in _LINES)


def is_json(content_type: str) -> bool:
    """Return whether the content type announces one JSON text, as most answers are that are no stream."""
    return content_type.lower().partition(";")[0].rstrip() == JSON


def comes_whole(first: bytes, framing: Framing) -> bool:
    """Return whether what is announced as JSON and begins like this is what `frames_of` takes for no stream."""
    return first == b"{" or (first == b"[" and framing == "events")


def frames_of(first: bytes, content_type: str, framing: Framing) -> Frames | None:
    """Return what cuts a stream, told by its first byte that is not white space, or None for a body that is no stream.

    The content type, in lower case, is asked only where the first byte leaves it open, as content types lie.
    """
    if first == b"\0":
        return AwsEvents()
    if first in (b"{", b"["):
        lines = framing == "lines" or any(kind in content_type for kind in _LINES)
        listed = framing == "objects" and (first == b"[" or "json" not in content_type)
        return JsonObjects() if lines or listed else None
    return Events() if first and first in _SSE_STARTS else None
