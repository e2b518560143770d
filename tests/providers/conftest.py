"""Ways to play an exchange to the providers room."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from typing import Any

import pytest

from payi_middleware.providers import Answer, Match, open_reader

CATEGORIES = {"openai": "system.openai", "anthropic": "system.anthropic"}


def read_body(api: str, body: Any, *, status: int = 200, provider: str = "") -> Answer:
    """Read an answer in one body, JSON or raw bytes."""
    family = api.partition(".")[0]
    reader = open_reader(
        Match(api, CATEGORIES[family], provider or family), status, {"content-type": "application/json"}
    )
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    assert reader.feed(raw) is False
    return reader.finish()


def as_events(events: Iterable[Any]) -> list[bytes]:
    """Return server-sent events: JSON for objects, text as it is."""
    return [
        b"data: " + (event.encode() if isinstance(event, str) else json.dumps(event, separators=(",", ":")).encode())
        + b"\n\n"
        for event in events
    ]  # fmt: skip


def read_stream(api: str, *events: Any, provider: str = "") -> Answer:
    """Read an answer in server-sent events."""
    family = api.partition(".")[0]
    reader = open_reader(Match(api, CATEGORIES[family], provider or family), 200, {"content-type": "text/event-stream"})
    for event in as_events(events):
        reader.feed(event)
    return reader.finish()


@pytest.fixture(name="body")
def _body() -> Callable[..., Answer]:
    return read_body


@pytest.fixture(name="stream")
def _stream() -> Callable[..., Answer]:
    return read_stream
