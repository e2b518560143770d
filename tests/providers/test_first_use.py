"""Readers that are imported with the first answer they read."""

from __future__ import annotations

from collections.abc import Mapping
from threading import Event, Thread

import pytest

from payi_middleware.forks import uncut
from payi_middleware.providers.first_use import AtFirstUse, Making
from payi_middleware.providers.match import Match
from payi_middleware.providers.openai_chat import OpenAIChat

MATCH = Match("openai.chat", "system.openai", "openai", "request")
HEADERS: Mapping[str, str] = {}


def test_a_reader_is_loaded_with_its_first_answer_and_once() -> None:
    loaded = []

    @AtFirstUse
    def reader() -> Making:
        loaded.append(True)
        return OpenAIChat

    assert loaded == []
    first, second = reader(MATCH, HEADERS), reader(MATCH, HEADERS)
    assert isinstance(first, OpenAIChat)
    assert isinstance(second, OpenAIChat)
    assert first is not second
    assert loaded == [True]


def test_one_that_cannot_be_loaded_is_tried_again_with_the_next_answer() -> None:
    failing = [ImportError("no room")]

    @AtFirstUse
    def reader() -> Making:
        if failing:
            raise failing.pop()
        return OpenAIChat

    with pytest.raises(ImportError):
        reader(MATCH, HEADERS)
    assert isinstance(reader(MATCH, HEADERS), OpenAIChat)


def test_a_fork_waits_for_a_reader_that_is_being_loaded() -> None:
    loading, goes_on = Event(), Event()

    @AtFirstUse
    def reader() -> Making:
        loading.set()
        goes_on.wait(30)
        return OpenAIChat

    thread = Thread(target=reader, args=(MATCH, HEADERS))
    thread.start()
    assert loading.wait(30)
    within = thread.ident in uncut._depths
    goes_on.set()
    thread.join()
    assert within
