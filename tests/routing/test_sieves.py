"""What was added to an answer is taken out of it wherever the network cuts it, and every other byte stays."""

from __future__ import annotations

import gzip
import json
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from payi_middleware.providers.decoding import decoder_for
from payi_middleware.proxying.answers import read_answer
from payi_middleware.proxying.members import members_of, without
from payi_middleware.proxying.sieves import EventSieve, FrameSieve
from payi_middleware.service.proxy.answers import error_members
from payi_middleware.service.proxy.splicing import added_to_object, members
from payi_middleware.service.proxy.tails import EventTail, FrameTail
from tests.service_proxy.wires import FRAMES, STREAMS, Stream

RESULT = {"request_id": "r-1", "cost": {"total": {"base": 0.25}}, "note": 'a "quoted" } brace \u00fc'}
ADDED = members({"xproxy_result": json.dumps(RESULT).encode()})
BY_NAME = {stream.name: stream for stream in STREAMS}
APIS = {
    "chat": "openai.chat",
    "messages": "anthropic.messages",
    "responses": "openai.responses",
}


def proxied(stream: Stream) -> bytes:
    """Return a stream as our proxy passes it on, with the result in its end."""
    events = list(stream.events)
    last = iter([False] * (len(events) - 1) + [True])
    if stream.content_type == FRAMES:
        frames = FrameTail(lambda _: next(last))
        return b"".join(map(frames.feed, events)) + frames.finish(ADDED)
    tail = EventTail(APIS[stream.name], lambda _: next(last))
    return b"".join(map(tail.feed, events)) + tail.finish(ADDED)


def sieve_for(stream: Stream, taken: list[Any], **options: Any) -> EventSieve | FrameSieve:
    return (FrameSieve if stream.content_type == FRAMES else EventSieve)(taken.append, **options)


def cut(body: bytes, places: Sequence[int]) -> list[bytes]:
    ends = [0, *sorted({place % (len(body) + 1) for place in places}), len(body)]
    return [body[start:end] for start, end in pairwise(ends)]


@pytest.mark.parametrize("name", BY_NAME)
@given(places=st.lists(st.integers(0, 10_000), max_size=20))
def test_a_stream_is_the_provider_s_again_wherever_it_is_cut(name: str, places: list[int]) -> None:
    stream, taken = BY_NAME[name], list[Any]()
    body = proxied(stream)
    assert body != stream.body
    sieve = sieve_for(stream, taken)
    passed = b"".join([sieve.pass_on(piece) for piece in cut(body, places)]) + sieve.rest()

    assert passed == stream.body
    assert taken
    assert all(result == RESULT for result in taken)


@pytest.mark.parametrize("name", BY_NAME)
def test_whole_events_without_a_result_pass_as_the_objects_that_they_came_as(name: str) -> None:
    stream = BY_NAME[name]
    sieve = sieve_for(stream, [])

    assert all(sieve.pass_on(event) is event for event in stream.events)


@pytest.mark.parametrize("name", BY_NAME)
def test_the_result_stays_where_the_app_wants_that(name: str) -> None:
    stream, taken = BY_NAME[name], list[Any]()
    sieve = sieve_for(stream, taken, keep=True)

    assert sieve.pass_on(proxied(stream)) + sieve.rest() == proxied(stream)
    assert taken[0] == RESULT


@pytest.mark.parametrize("name", BY_NAME)
def test_a_compressed_stream_is_decoded_as_it_comes(name: str) -> None:
    stream, taken = BY_NAME[name], list[Any]()
    sieve = sieve_for(stream, taken, decode=decoder_for("gzip"))
    pieces = cut(gzip.compress(proxied(stream)), range(0, 2000, 7))

    assert b"".join(map(sieve.pass_on, pieces)) + sieve.rest() == stream.body
    assert taken[0] == RESULT


def test_a_result_in_a_comment_is_taken_with_the_comment() -> None:
    taken: list[Any] = []
    sieve = EventSieve(taken.append)

    assert sieve.pass_on(b"data: [1]\n\n: {" + ADDED + b"}\n\ndata: [DONE]\n\n") == b"data: [1]\n\ndata: [DONE]\n\n"
    assert taken == [RESULT]


def test_a_text_that_speaks_of_results_is_left_alone() -> None:
    event = b"data: " + json.dumps({"content": '{"xproxy_result":{"cost":1}}'}).encode() + b"\n\n"
    nested = b'data: {"choices":[{"xproxy_result":{"cost":1}}]}\n\n'
    taken: list[Any] = []
    sieve = EventSieve(taken.append)

    assert sieve.pass_on(event) + sieve.pass_on(nested) == event + nested
    assert taken == []


def test_an_event_without_an_end_is_not_held_for_ever() -> None:
    sieve = EventSieve(lambda _: None)
    passed = b"".join([sieve.pass_on(b"x" * 65_536) for _ in range(80)])

    assert len(passed) >= 65_536 * 16


@pytest.mark.parametrize("stream", [b"no frames at all, as it seems", b"\0\0\0\1" * 9], ids=["text", "lengths"])
def test_what_is_no_event_stream_passes(stream: bytes) -> None:
    sieve = FrameSieve(lambda _: None)

    assert sieve.pass_on(stream) + sieve.rest() == stream


OBJECTS = st.dictionaries(
    st.text(max_size=5), st.recursive(st.none() | st.text() | st.integers(), st.lists), max_size=4
)


LAYOUTS: list[dict[str, Any]] = [{}, {"indent": 2}, {"separators": (",", ":")}, {"ensure_ascii": False}]


@given(value=OBJECTS.filter(lambda value: not {"xproxy_result", "xproxy_error"} & value.keys()), data=st.data())
def test_a_json_text_is_the_provider_s_again(value: dict[str, Any], data: st.DataObject) -> None:
    layout = data.draw(st.sampled_from(LAYOUTS))
    body = json.dumps(value, **layout).encode("utf-8", "surrogatepass")
    body += data.draw(st.sampled_from([b"", b"\n", b" \r\n"]))

    told = read_answer(200, added_to_object(body, ADDED))

    assert told.body == body
    assert told.result == RESULT


ERRORS = [
    b'{"error":{"message":"no"}}',
    b'{"message":"no","type":"x"}\n',
    b'{"statusCode":400,"message":"no"} ',
    b'{"message":"no"}',
]


@pytest.mark.parametrize("error", ERRORS)
def test_a_provider_s_error_is_its_own_again(error: bytes) -> None:
    named = error_members(400, error)
    told = read_answer(400, added_to_object(error, members({**named, "xproxy_result": json.dumps(RESULT).encode()})))

    assert told.result == RESULT
    assert told.body == error
    assert told.not_called is False


@pytest.mark.parametrize(
    "body", [b"", b"[]", b"{", b'{"a":1', b'{"a" 1}', b"\xff{}", b"plain", b'{"a":1,}', b"[" * 9999]
)
def test_what_cannot_be_read_stays_as_it_is(body: bytes) -> None:
    assert read_answer(200, body).body == body


def test_the_first_of_several_members_can_be_taken_out() -> None:
    text = '{"xproxy_result":{}, "a": 1}'
    found = members_of(text) or []

    assert without(text, found, [found[0]]) == '{ "a": 1}'
