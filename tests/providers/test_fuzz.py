"""Whatever a provider sends, in whatever pieces: one answer, one report, no exception, and little memory."""

from __future__ import annotations

import gzip
import json
import random
import tracemalloc
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from payi_middleware.annotations import Annotations
from payi_middleware.providers import Answer, Match, open_reader, read_request, units
from payi_middleware.providers.registry import FORMATS
from payi_middleware.report import Observed, Timing, build_report
from tests.providers.golden import GOLDEN, Golden
from tests.providers.test_recordings import RECORDINGS, body_of, lowered, matched, recordings

WHO = Annotations(user_id="ann")
WHEN = datetime(2026, 1, 2, tzinfo=UTC)
DEEP = 20_000  # brackets; the interpreter's own limit is far below
MOST_HELD = 24 * 2**20  # a body of 4 MiB is kept, and parsed
WRONG: tuple[str, ...] = (
    *("null", "true", "-1", "0.5", "1e400", "-1e400", "NaN", "Infinity", "9" * 400, "9" * 5000, "1e18", '""'),
    *('"\\ud800"', '"\\u0000"', '"7"', "[]", "{}", "[[]]", '[{"a":[null]}]', '{"usage":{"input_tokens":[]}}'),
    *("[" * DEEP + "]" * DEEP, '{"a":' * DEEP + "1" + "}" * DEEP, '"' + "x" * 70_000 + '"'),
)
"""JSON, or what Python takes for it, that is not what any member should be."""


def reported(match: Match, asked: bytes, body: bytes, status: int, headers: Mapping[str, str], cuts: list[int]) -> None:
    """Play an exchange to its report, fed in pieces of the sizes in `cuts`, and check both."""
    reader = open_reader(match, status, headers)
    at = turn = ends = 0
    while at < len(body):
        size = cuts[turn % len(cuts)]
        ends += reader.feed(body[at : at + size])
        at, turn = at + size, turn + 1
    assert ends <= 1
    answer = reader.finish()
    assert isinstance(answer, Answer)
    assert "in the parser" not in str(answer.notes), answer.notes
    check_units(answer)
    observed = Observed(match, read_request(match, asked), answer, status, Timing(WHEN))
    report = build_report(observed, WHO)
    assert report.provider_response_id
    assert report.category
    assert report.item["user_id"] == "ann"
    assert len(json.dumps(dict(report.item), allow_nan=False)) < 64 * 1024


def check_units(answer: Answer) -> None:
    """Check that what would be billed are whole numbers that are not negative."""
    found = units(answer.usage)[0] if answer.usage is not None else {}
    for unit, sides in found.items():
        assert unit
        assert sides.keys() <= {"input", "output"}
        assert all(type(count) is int and 0 <= count <= 2**60 for count in sides.values()), found


def places(raw: bytes) -> list[tuple[int, int]]:
    """Return where the values of a JSON text's members are, as far as a glance tells."""
    text, decoder, found, at = raw.decode("latin-1"), json.JSONDecoder(), [], 0
    while (at := text.find('":', at)) >= 0:
        at += 2
        start = at + (text[at : at + 1] == " ")
        try:
            _, end = decoder.raw_decode(text, start)
        except ValueError:
            continue
        except RecursionError:  # an earlier splice: it would fail again at each of its members
            break
        found.append((start, end))
    return found


def spliced(raw: bytes, which: int, value: str) -> bytes:
    """Put another value in the place of one member's."""
    known = places(raw)
    if not known:
        return raw
    start, end = known[which % len(known)]
    return raw[:start] + value.encode() + raw[end:]


def mutated(raw: bytes, how: str, first: int, second: int) -> bytes:
    """Spoil a body in one way; `first` and `second` say where and with what."""
    at = first % (len(raw) + 1)
    if how == "truncate":
        return raw[:at]
    if how == "flip":
        return raw[:at] + bytes([second % 256]) + raw[at + 1 :]
    if how == "duplicate":
        return raw[:at] + raw[at - second % (at + 1) : at] + raw[at:]
    if how == "remove":
        return raw[:at] + raw[at + second % 40 :]
    if how == "splice":
        return spliced(raw, first, WRONG[second % len(WRONG)])
    return raw + raw if how == "twice" else raw


HOW = ("truncate", "flip", "duplicate", "remove", "splice", "splice", "splice", "twice", "nothing")
PLACE = st.integers(0, 100_000)
MUTATIONS = st.lists(st.tuples(st.sampled_from(HOW), PLACE, PLACE), max_size=4)
CUTS = st.lists(st.sampled_from((1, 3, 17, 250, 4096, 70_000)), min_size=1, max_size=4).filter(
    lambda cuts: max(cuts) > 3
)


def spoiled(raw: bytes, mutations: list[tuple[str, int, int]]) -> bytes:
    for how, first, second in mutations:
        raw = mutated(raw, how, first, second)
    return raw


def test_every_api_has_a_golden_exchange() -> None:
    assert {golden.api for golden in GOLDEN} == FORMATS.keys()


@pytest.mark.parametrize("golden", GOLDEN, ids=lambda golden: golden.name)
def test_a_golden_exchange_is_understood_as_it_is(golden: Golden) -> None:
    reader = open_reader(golden.match, 200, golden.headers)
    reader.feed(golden.on_the_wire(golden.body))
    answer = reader.finish()
    assert (answer.usage is not None) is golden.counted, answer


@pytest.mark.parametrize("api", sorted(FORMATS))
@settings(max_examples=50, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
@given(
    data=st.data(),
    mutations=MUTATIONS,
    cuts=CUTS,
    status=st.sampled_from((200, 200, 200, 400, 529)),
    squeeze=st.booleans(),
)
def test_a_spoiled_exchange_makes_one_report(
    api: str, data: st.DataObject, mutations: list[tuple[str, int, int]], cuts: list[int], status: int, squeeze: bool
) -> None:
    golden = data.draw(st.sampled_from([golden for golden in GOLDEN if golden.api == api]))
    body, headers = golden.on_the_wire(spoiled(golden.body, mutations)), dict(golden.headers)
    on_the_way = [each for each in mutations if each[0] in ("truncate", "flip")][:1]
    if squeeze:
        body, headers["content-encoding"] = gzip.compress(body, 1), "gzip"
    if golden.framed or squeeze:
        body = spoiled(body, on_the_way)
    reported(golden.match, spoiled(golden.asked, mutations), body, status, headers, cuts)


@pytest.mark.parametrize("golden", GOLDEN, ids=lambda golden: golden.name)
def test_every_member_may_be_anything(golden: Golden) -> None:
    for which in range(len(places(golden.body))):
        for value in WRONG[:-3]:
            reported(
                golden.match,
                golden.asked,
                golden.on_the_wire(spliced(golden.body, which, value)),
                200,
                golden.headers,
                [70_000],
            )


@pytest.mark.parametrize("golden", GOLDEN, ids=lambda golden: golden.name)
def test_deep_nesting_and_long_texts_are_bounded(golden: Golden) -> None:
    tracemalloc.start()
    try:
        for value in WRONG[-3:]:
            body = golden.on_the_wire(spliced(golden.body, len(golden.body), value))
            reported(golden.match, golden.asked, body, 200, golden.headers, [70_000])
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < MOST_HELD


def sampled(every: int) -> Iterator[dict[str, Any]]:
    dice = random.Random(20261122)
    return (record for record in recordings() if dice.randrange(every) == 0)


@pytest.mark.skipif(not RECORDINGS.is_file(), reason="no recordings here (PAYI_WIRE)")
def test_spoiled_recordings_make_one_report_each() -> None:
    dice = random.Random(20261122)
    played = 0
    for record in sampled(every=2):
        match = matched(record)
        if match is None:
            continue
        mutations = [(dice.choice(HOW), dice.randrange(100_000), dice.randrange(100_000)) for _ in range(3)]
        body, asked = body_of(record["response"])[:65_536], body_of(record["request"])[:65_536]
        status = record["response"]["status"]
        reported(match, asked, spoiled(body, mutations), status, lowered(record["response"]), [1400, 70, 16_384])
        played += 1
    assert played > 100
