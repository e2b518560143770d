"""The page of providers says what the registry holds, and its own part of it is true."""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path

import pytest

import payi_middleware.providers
from payi_middleware.providers import Match, open_reader, units
from payi_middleware.providers.one_body import OneBody
from payi_middleware.providers.registry import FORMATS
from tests.docs.providers_page import PAGE, page, places
from tests.docs.providers_told import TOLD
from tests.providers import test_recordings


def test_the_committed_page_is_what_the_registry_says_now() -> None:
    assert PAGE.read_text(encoding="utf-8") == page(), "run: make docs"


def test_every_api_has_its_row_and_no_row_is_of_no_api() -> None:
    assert sorted(TOLD) == sorted(FORMATS)


@pytest.mark.parametrize("api", sorted(TOLD))
def test_each_example_is_recognised_somewhere(api: str) -> None:
    assert places(api)


@pytest.mark.parametrize("api", sorted(TOLD))
def test_an_api_is_called_plain_where_its_reader_knows_no_streams_and_a_file_where_it_is_one(api: str) -> None:
    reading = FORMATS[api]
    if isinstance(reading.family(Match(api, "c", "p"), {}), OneBody):
        assert TOLD[api].answers == "plain"
    assert (reading.framing == "lines") == (TOLD[api].answers == "file")


def test_every_unit_is_one_that_the_readers_know() -> None:
    room = Path(payi_middleware.providers.__file__).parent
    source = "".join(file.read_text(encoding="utf-8") for file in room.glob("*.py"))
    named = {unit for told in TOLD.values() for unit in told.units}
    assert {unit for unit in named if f'"{unit}"' not in source} == set()


@pytest.mark.skipif(not test_recordings.RECORDINGS.is_file(), reason="no recordings here (PAYI_WIRE)")
def test_recorded_answers_have_no_other_units_than_the_page_says() -> None:
    others: defaultdict[str, set[str]] = defaultdict(set)
    for record in test_recordings.recordings():
        match = test_recordings.matched(record)
        if match is None:
            continue
        reader = open_reader(match, record["response"]["status"], test_recordings.lowered(record["response"]))
        reader.feed(test_recordings.body_of(record["response"]))
        usage = reader.finish().usage
        found = {unit.removesuffix("_large_context") for unit in units(usage)[0]} if usage else set()
        if more := found - set(TOLD[match.api].units):
            others[match.api] |= more
    assert dict(others) == {}
