"""Ways to play an exchange from its request line to its answer."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any
from urllib.parse import urlsplit

from payi_middleware.providers import Answer, Match, open_reader, recognise

JSON = {"content-type": "application/json"}
EVENTS = {"content-type": "text/event-stream"}
LINES = {"content-type": "application/x-ndjson"}


def matched(url: str, headers: Mapping[str, str] = JSON, method: str = "POST") -> Match | None:
    """Return what a request to `url` is recognised as."""
    parts = urlsplit(url)
    return recognise(method, parts.hostname or "", parts.port, parts.path, headers)


def play(
    url: str,
    answer: bytes | dict[str, Any] | list[Any],
    headers: Mapping[str, str] = JSON,
    *,
    status: int = 200,
    asked: Mapping[str, str] = JSON,
    size: int = 65_536,
    method: str = "POST",
) -> Answer:
    """Return what an answer says to a request of `url`, fed in pieces of `size` bytes."""
    match = matched(url, asked, method)
    assert match is not None
    reader = open_reader(match, status, headers)
    raw = answer if isinstance(answer, bytes) else json.dumps(answer).encode()
    for start in range(0, len(raw), size):
        reader.feed(raw[start : start + size])
    return reader.finish()


def as_events(*events: dict[str, Any] | str, named: bool = False) -> bytes:
    """Return server-sent events, each with its type as its name if `named`."""
    return b"".join(_event(event, named) for event in events)


def _event(event: dict[str, Any] | str, named: bool) -> bytes:
    if isinstance(event, str):
        return b"data: %s\n\n" % event.encode()
    name = b"event: %s\n" % event["type"].encode() if named else b""
    return name + b"data: %s\n\n" % json.dumps(event, separators=(",", ":")).encode()


def as_lines(objects: Iterable[dict[str, Any]]) -> bytes:
    """Return JSON objects, one a line."""
    return b"".join(json.dumps(one, separators=(",", ":")).encode() + b"\n" for one in objects)
