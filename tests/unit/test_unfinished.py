"""What is still coming in when the process ends."""

from __future__ import annotations

import gc
from collections.abc import Callable

import pytest

from payi_middleware.kinds import Kind
from payi_middleware.providers import Match, recognise
from payi_middleware.recorder import Exchange
from payi_middleware.unfinished import end_all
from tests.journal.exchanges import URI, Watching

_JSON, _EVENTS = {"content-type": "application/json"}, {"content-type": "text/event-stream"}
_PIECE = b'[{"candidates": [{"content": {"parts": [{"text": "Hello"}]}}]}\n,'


@pytest.fixture
def owner() -> Watching:
    return Watching()


@pytest.fixture
def begun(owner: Watching) -> Callable[[], Exchange]:
    path = "/v1beta/models/gemini-2.5-flash:streamGenerateContent"
    match = recognise("POST", "generativelanguage.googleapis.com", None, path, {}, {})
    assert isinstance(match, Match)
    return lambda: Exchange(owner, Kind(match, URI, None), None, b"{}")


@pytest.mark.parametrize("spaces", [b"", b" \n"], ids=["at once", "after white space"])
def test_a_stream_that_does_not_say_so_ends_with_the_process(
    owner: Watching, begun: Callable[[], Exchange], spaces: bytes
) -> None:
    exchange = begun()
    exchange.respond(200, _JSON)
    for piece in (spaces, _PIECE):
        exchange.feed(piece)

    end_all()

    assert owner.delivered == [exchange]
    assert not exchange.terminated


def test_a_stream_ends_with_the_process_before_anything_has_come(
    owner: Watching, begun: Callable[[], Exchange]
) -> None:
    exchange = begun()
    exchange.respond(200, _EVENTS)

    end_all()

    assert owner.delivered == [exchange]


def test_an_answer_that_is_no_stream_is_left_to_the_app(owner: Watching, begun: Callable[[], Exchange]) -> None:
    exchange = begun()
    exchange.respond(200, _JSON)
    exchange.feed(b'{"candidates": []')

    end_all()

    assert owner.delivered == []
    assert exchange.open


def test_what_has_ended_or_is_gone_is_not_ended_again(owner: Watching, begun: Callable[[], Exchange]) -> None:
    ended, discarded = begun(), begun()
    for exchange in (ended, discarded):
        exchange.respond(200, _EVENTS)
    ended.finish(complete=True)
    discarded.discard()
    begun().respond(200, _EVENTS)
    gc.collect()

    end_all()

    assert owner.delivered == [ended]
    assert ended.terminated
