"""Which of a response's headers are decoded."""

from __future__ import annotations

import pytest

from payi_middleware.providers import READ_HEADERS, Match
from payi_middleware.providers.registry import FORMATS
from tests.journal.exchanges import recorded


@pytest.mark.parametrize("name", ["content-type", "content-encoding", "x-amzn-errortype"])
def test_what_every_reader_looks_at_is_read(name: str) -> None:
    assert READ_HEADERS[name.encode()] == name


def test_what_a_format_says_that_it_reads_is_read() -> None:
    named = {name for reading in FORMATS.values() for name in reading.headers}

    assert named
    assert {READ_HEADERS[name.encode()] for name in named} == named


@pytest.mark.parametrize("name", [b"date", b"x-request-id", b"set-cookie", b"\xff", b""])
def test_any_other_is_not(name: bytes) -> None:
    assert name not in READ_HEADERS


def test_a_name_that_no_header_can_have_is_passed_over() -> None:
    odd = {"x-\udcff": "1", b"content-type": "text/plain", "Content-Type": "application/json"}
    exchange = recorded(Match("openai.chat", "system.openai", "openai"), b"{}", b'{"id":"c-1"}', headers=odd)  # type: ignore[arg-type]
    assert exchange is not None
    assert exchange.reader is not None
    assert exchange.reader.finish().response_id == "c-1"
