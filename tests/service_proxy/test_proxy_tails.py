"""Streams cut anywhere: what comes out is what went in, and the result at its end."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from payi_middleware.providers import Reader, open_reader, recognise
from payi_middleware.service.proxy.splicing import added_to_event, added_to_frame, added_to_object
from payi_middleware.service.proxy.tails import BodyTail, EventTail, FrameTail, Tail
from tests.providers.aws_frames import exception

from .serving import without
from .wires import CHAT, CHAT_USAGE, DONE, EVENTS, MESSAGES, RESPONSES, STREAMS, Stream, chat_chunk

ADDED = b'"xproxy_result":{"request_id":"req_1"}'
RESULT = {"request_id": "req_1"}
PATHS = {
    "chat": "/v1/chat/completions",
    "messages": "/v1/messages",
    "responses": "/v1/responses",
    "converse": "/model/m.x/converse-stream",
    "invoke": "/model/m.x/invoke-with-response-stream",
}


def reader_of(stream: Stream) -> tuple[Reader, str]:
    match = recognise("POST", "example.com", None, PATHS[stream.name], {"anthropic-version": "1"})
    assert match is not None
    return open_reader(match, 200, {"content-type": stream.content_type}), match.api


def tail_of(stream: Stream, *, take_out: bool = False) -> tuple[Tail, Reader]:
    reader, api = reader_of(stream)
    if stream.content_type == EVENTS:
        return EventTail(api, reader.feed, take_out=take_out), reader
    return FrameTail(reader.feed), reader


def passed(tail: Tail, pieces: Sequence[bytes]) -> bytes:
    """Pass a stream on as the proxy does."""
    out = bytearray()
    finished = False
    for piece in pieces:
        out += tail.feed(piece)
        if tail.due and not finished:
            finished = True
            out += tail.finish(ADDED)
    if not finished:
        tail.end()
        out += tail.finish(ADDED)
    return bytes(out)


def cut(body: bytes, places: Sequence[int]) -> list[bytes]:
    ends = [*sorted({place % (len(body) + 1) for place in places}), len(body)]
    return [body[start:end] for start, end in zip([0, *ends], ends, strict=False)]


any_cuts = settings(max_examples=100, deadline=None)
places = st.lists(st.integers(0, 10**6), max_size=40)


@any_cuts
@given(places=places, ending=st.sampled_from([b"\n", b"\r\n", b"\r"]))
@pytest.mark.parametrize("stream", [CHAT, MESSAGES, RESPONSES], ids=lambda stream: stream.name)
def test_events_come_out_as_they_went_in(stream: Stream, places: list[int], ending: bytes) -> None:
    body = stream.body.replace(b"\n", ending)
    tail, reader = tail_of(stream)

    told, results = without("xproxy_result", passed(tail, cut(body, places)))

    assert told == body
    assert results == [RESULT] * (1 if stream is CHAT else 2)
    usage = reader.finish().usage
    assert usage is not None
    assert (usage.input_tokens, usage.output_tokens) == (10, 5)


@any_cuts
@given(places=places)
def test_the_chunk_that_nobody_asked_for_is_taken_out(places: list[int]) -> None:
    tail, reader = tail_of(CHAT, take_out=True)

    told, results = without("xproxy_result", passed(tail, cut(CHAT.body, places)))

    assert told == CHAT.body.replace(CHAT_USAGE, b"")
    assert results == [RESULT]
    assert reader.finish().usage is not None


@any_cuts
@given(places=places)
@pytest.mark.parametrize("stream", STREAMS[3:], ids=lambda stream: stream.name)
def test_messages_come_out_the_same_however_they_are_cut(stream: Stream, places: list[int]) -> None:
    expected = passed(tail_of(stream)[0], [stream.body])

    assert passed(tail_of(stream)[0], cut(stream.body, places)) == expected
    assert expected == b"".join(stream.events[:-1]) + added_to_frame(stream.events[-1], ADDED)


@pytest.mark.parametrize("stream", STREAMS, ids=lambda stream: stream.name)
def test_an_event_comes_out_as_soon_as_it_is_complete_unless_it_may_be_the_last(stream: Stream) -> None:
    tail, _ = tail_of(stream)

    for event in stream.events[: -stream.ending]:
        assert tail.feed(event[:-1]) == b""
        assert tail.feed(event[-1:]) == event


@any_cuts
@given(body=st.binary(max_size=300), places=places, sse=st.booleans())
def test_anything_else_passes_too(body: bytes, places: list[int], sse: bool) -> None:
    def see(_: bytes) -> bool:
        return False

    tail: Tail = EventTail("openai.chat", see) if sse else FrameTail(see)
    out = b"".join(map(tail.feed, cut(body, places)))
    tail.end()

    assert out + tail.finish(None) == body


@any_cuts
@given(places=places, blanks=st.text("\n\t }", max_size=9))
def test_a_long_body_has_the_result_before_its_last_brace(places: list[int], blanks: str) -> None:
    body = b'{"data": [{"a": {}}' + blanks.replace("}", "").encode() + b"]}" + blanks.replace("}", "").encode()
    start, *pieces = cut(body, places)
    tail = BodyTail(lambda _: False, start)

    out = passed(tail, pieces)

    assert without("xproxy_result", out) == (body, [RESULT])


def test_comments_that_keep_a_connection_alive_do_not_displace_the_last_chunk() -> None:
    comment = b": still there\n\n"
    events = [*CHAT.events[:5], comment, comment, DONE]
    out = passed(tail_of(CHAT)[0], events)

    assert without("xproxy_result", out) == (b"".join(events), [RESULT])


def test_what_follows_the_finish_without_words_is_the_last_chunk() -> None:
    """Azure's asynchronous filter says where it was in the text, after the end of it."""
    offsets = chat_chunk({})
    events = [*CHAT.events[:5], offsets, DONE]
    out = passed(tail_of(CHAT)[0], events)

    assert out == b"".join([*events[:5], added_to_event(offsets, ADDED), DONE])


def test_an_error_in_a_stream_has_the_result() -> None:
    error = b'data: {"error":{"message":"overloaded","type":"server_error"}}\n\n'
    out = passed(tail_of(CHAT)[0], [*CHAT.events[:3], error])

    assert out == b"".join(CHAT.events[:3]) + added_to_event(error, ADDED)


def test_an_exception_in_a_stream_of_amazons_has_the_result() -> None:
    failed = exception("throttlingException", "Too many tokens.")
    stream = STREAMS[3]
    out = passed(tail_of(stream)[0], [*stream.events[:2], failed])

    assert out == b"".join(stream.events[:2]) + added_to_frame(failed, ADDED)


def test_a_message_too_long_to_hold_passes_unchanged() -> None:
    stream = STREAMS[3]
    long = b"\0\x30\0\0" + bytes(3 * 2**20 - 4)
    tail, _ = tail_of(stream)
    sent = b"".join(tail.feed(long[at : at + 60_000]) for at in range(0, len(long), 60_000))

    assert sent == long
    assert tail.feed(stream.events[0]) == stream.events[0]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (b"{}", b"{%s}"),
        (b"{ }\n", b"{%s }\n"),
        (b'{"a":1}', b'{"a":1,%s}'),
        (b'{\n "a": {}\n}\n', b'{\n "a": {},%s\n}\n'),
        (b"[1]", b"[1]"),
        (b"", b""),
        (b"no JSON", b"no JSON"),
    ],
)
def test_a_member_is_added_to_objects_only(text: bytes, expected: bytes) -> None:
    assert added_to_object(text, ADDED) == (expected % ADDED if b"%" in expected else expected)


@pytest.mark.parametrize(
    ("event", "expected"),
    [
        (b'data: {"a":1}\n\n', b'data: {"a":1,%s}\n\n'),
        (b'data:{"a":1}\r\n\r\n', b'data:{"a":1,%s}\r\n\r\n'),
        (b'event: x\ndata: {"a":1}\nid: 7\n\n', b'event: x\ndata: {"a":1,%s}\nid: 7\n\n'),
        (b'data: {"a":\ndata: 1}\n\n', b'data: {"a":\ndata: 1,%s}\n\n'),
        (b"data: [DONE]\n\n", b"data: [DONE]\n\n"),
        (b": a comment\n\n", b": a comment\n\n"),
    ],
)
def test_a_member_is_added_to_an_events_data(event: bytes, expected: bytes) -> None:
    assert added_to_event(event, ADDED) == (expected % ADDED if b"%" in expected else expected)
