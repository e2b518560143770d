"""Which of a response's headers are decoded."""

from __future__ import annotations

import pytest

from payi_middleware.providers import READ_HEADERS, Match
from payi_middleware.providers.registry import FORMATS
from tests.journal.exchanges import recorded


@pytest.mark.parametrize("name", ["content-type", "content-encoding", "x-amzn-errortype"])
def test_what_every_reader_looks_at_is_known_however_it_is_written(name: str) -> None:
    for written in (name, name.title(), name.upper()):
        assert READ_HEADERS[written.encode()] == name


def test_what_a_format_says_that_it_reads_is_known() -> None:
    named = {name for reading in FORMATS.values() for name in reading.headers}

    assert named
    assert {READ_HEADERS[name.encode()] for name in named} == named


@pytest.mark.parametrize("name", [b"date", b"x-request-id", b"set-cookie", b"\xff", b""])
def test_any_other_is_not_and_however_many_come_few_are_remembered(name: bytes) -> None:
    own = type(READ_HEADERS)()  # those of the process go on remembering what comes again

    assert own[name] == ""
    for number in range(3_000):
        assert own[b"x-%d" % number] == ""
    assert len(own) <= 1_024


def test_a_name_that_no_header_can_have_is_passed_over() -> None:
    odd = {"x-\udcff": "1", b"content-type": "text/plain", "Content-Type": "application/json"}
    exchange = recorded(Match("openai.chat", "system.openai", "openai"), b"{}", b'{"id":"c-1"}', headers=odd)  # type: ignore[arg-type]
    assert exchange is not None
    assert exchange.reader is not None
    assert exchange.reader.finish().response_id == "c-1"
