"""Whatever frames a stream (lines, arrays, Amazon's messages), the wire formats see server-sent events."""

from __future__ import annotations

import base64
import json
import struct
import tracemalloc
import zlib
from collections.abc import Iterable, Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from payi_middleware.providers import Match, Reader, Usage, open_reader
from payi_middleware.providers.aws_events import AwsEvents
from payi_middleware.providers.decoding import UndecodableError
from payi_middleware.providers.framing import Frames, frames_of, is_opaque, is_stream
from payi_middleware.providers.json_objects import JsonObjects
from payi_middleware.providers.wire import Events, each_event, each_named_event

TEXTS = st.text(st.sampled_from('ab{}[]"\\\n\r é,:'), max_size=12)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | TEXTS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3),
    max_leaves=8,
)
OBJECTS = st.lists(st.dictionaries(TEXTS, VALUES, max_size=3), max_size=9)
SIZES = st.lists(st.integers(1, 40), min_size=1, max_size=8)


def message(payload: bytes, *, checksum: bool = True, **headers: str) -> bytes:
    """Return a message of Amazon's event stream; `event_type="x"` is its header `:event-type`."""
    told = b"".join(
        bytes([len(name) + 1]) + b":" + name.replace("_", "-").encode() + b"\x07" + struct.pack(">H", len(value))
        + value.encode()
        for name, value in headers.items()
    )  # fmt: skip
    start = struct.pack(">II", 16 + len(told) + len(payload), len(told))
    start += struct.pack(">I", zlib.crc32(start) if checksum else 0)
    body = start + told + payload
    return body + struct.pack(">I", zlib.crc32(body) if checksum else 0)


def event(kind: str, payload: Any) -> bytes:
    content = json.dumps(payload).encode()
    return message(content, event_type=kind, content_type="application/json", message_type="event")


def chunk(inner: Any) -> bytes:
    return event("chunk", {"bytes": base64.b64encode(json.dumps(inner).encode()).decode(), "p": "abc"})


def wrapped(payload: bytes) -> bytes:
    return message(payload, event_type="chunk", content_type="application/json", message_type="event")


def cut(data: bytes, sizes: list[int]) -> Iterator[bytes]:
    at = turn = 0
    while at < len(data):
        size = sizes[turn % len(sizes)]
        yield data[at : at + size]
        at, turn = at + size, turn + 1


def blocks(frames: Frames, pieces: Iterable[bytes]) -> bytes:
    return b"".join([frames.feed(piece) for piece in pieces]) + frames.rest()


def seen(frames: Frames, pieces: Iterable[bytes]) -> list[bytes]:
    """Return the data of the events, block by block, as the wire formats see them."""
    data = [one for piece in pieces for one in each_event(frames.feed(piece))]
    return [*data, *each_event(frames.rest())]


def objects(frames: Frames, pieces: Iterable[bytes]) -> list[Any]:
    return [json.loads(data) for data in seen(frames, pieces)]


def array(*told: bytes) -> bytes:
    """Return an array as Google streams it, of elements on lines."""
    return b"[" + b",\r\n".join(told) + b"]"


def dumped(told: Any, indent: int | None = None) -> bytes:
    return json.dumps(told, indent=indent).encode() + b"\n"


# --- lines and arrays of JSON objects --------------------------------------------------------------------------------


@given(OBJECTS, SIZES, st.sampled_from(["\n", "\r\n", "\n\n", " "]), st.booleans())
def test_lines_of_objects_are_one_event_each_however_they_are_cut(
    given_objects: list[Any], sizes: list[int], end: str, ascii_only: bool
) -> None:
    told = "".join(json.dumps(one, ensure_ascii=ascii_only) + end for one in given_objects).encode()
    assert objects(JsonObjects(), cut(told, sizes)) == given_objects


@given(OBJECTS, SIZES, st.sampled_from([None, 0, 2]))
def test_the_elements_of_an_array_are_one_event_each_however_they_are_cut(
    given_objects: list[Any], sizes: list[int], indent: int | None
) -> None:
    told = json.dumps(given_objects, indent=indent).encode()
    assert objects(JsonObjects(), cut(told, sizes)) == given_objects


@given(OBJECTS, SIZES, st.sampled_from([None, 0, 1, 2]))
def test_the_elements_of_googles_arrays_are_one_event_each_however_they_are_cut(
    given_objects: list[Any], sizes: list[int], indent: int | None
) -> None:
    told = array(*(dumped(one, indent) for one in given_objects))
    for pieces in (cut(told, sizes), cut(told, [20 * size for size in sizes]), [told]):
        assert objects(JsonObjects(), pieces) == given_objects


@given(OBJECTS, SIZES)
def test_whole_lines_in_one_chunk_are_one_event_each(given_objects: list[Any], sizes: list[int]) -> None:
    told = [dumped(one) for one in given_objects]
    for pieces in (told, [b"".join(told)], cut(b"".join(told), [20 * size for size in sizes])):
        assert objects(JsonObjects(), pieces) == given_objects


@given(OBJECTS, SIZES)
def test_the_last_object_needs_no_line_end(given_objects: list[Any], sizes: list[int]) -> None:
    told = b"".join(dumped(one) for one in given_objects)[:-1]
    frames = JsonObjects()
    data = [one for piece in cut(told, sizes) for one in each_event(frames.feed(piece))]
    assert [json.loads(one) for one in data] == given_objects
    assert frames.rest() == b""


ODD: tuple[tuple[bytes, list[Any]], ...] = (
    (b'{\n "a": {"b": "}"}\n}\n', [{"a": {"b": "}"}}]),
    (b'{"a":{"b":1}\n}\n', [{"a": {"b": 1}}]),
    (b'{"a":\r\n"}"}\r\n', [{"a": "}"}]),
    (b'{"a":"}{"}\n\n\n', [{"a": "}{"}]),
    (b'{"a":"{{"}\n', [{"a": "{{"}]),
    (b'{"a":"%s"}\n' % (b"}" * 9_000), [{"a": "}" * 9_000}]),
    (b"7\n", []),
)


@given(st.permutations(ODD), SIZES, st.booleans(), st.sampled_from([None, 2]))
def test_objects_that_are_written_unlike_the_first_ones_are_found_all_the_same(
    odd: list[tuple[bytes, list[Any]]], sizes: list[int], listed: bool, indent: int | None
) -> None:
    usual = {"n": {"m": "{"}}
    parts = [dumped(usual, indent if listed else None)] * 3
    expected: list[Any] = [usual] * 3
    for told, meant in odd:
        parts += [told, parts[0]]
        expected += [*meant, usual]
    whole = array(*parts) if listed else b"".join(parts)
    for pieces in (cut(whole, [9 * size for size in sizes]), cut(whole, [90 * size for size in sizes]), [whole], parts):
        found = objects(JsonObjects(), pieces)
        assert [one for one in found if isinstance(one, dict)] == expected


def test_an_element_may_grow_long_byte_by_byte() -> None:
    frames = JsonObjects()
    assert len(list(each_event(frames.feed(array(b'{"a":1}\n', b'{"a":2}\n')[:-1] + b",\r\n")))) == 2
    told = b'{"a":"%s"}' % (b"x" * 9_000)
    assert [one for at in range(len(told)) for one in each_event(frames.feed(told[at : at + 1]))] == [told]


def test_lines_go_on_after_a_long_one() -> None:
    frames = JsonObjects()
    assert frames.feed(b'{"a":1}\n{"a":2}\n') == b'data: {"a":1}\n\ndata: {"a":2}\n\n'
    long = b'{"id":"first","data":"%s","usage":{"n":1}}' % (b"x" * 200_000)
    told = b"".join(frames.feed(piece) for piece in cut(long + b'\n{"a":3}\n{"a"', [32_768]))
    giant, following = each_event(told)
    assert giant.startswith(b'{"id":"first"')
    assert giant.endswith(b'"usage":{"n":1}}')
    assert len(giant) < 100_000
    assert following == b'{"a":3}'
    assert frames.feed(b":4}\n") == b'data: {"a":4}\n\n'


def test_an_object_that_a_chunk_ends_in_is_no_event_yet() -> None:
    frames = JsonObjects()
    assert frames.feed(b'{"a":{"b":1}\n') == b""
    assert frames.feed(b'}\n{"c":"}') == b'data: {"a":{"b":1} }\n\n'
    assert frames.feed(b'\\"') == b""
    assert frames.feed(b'"}') == b'data: {"c":"}\\""}\n\n'
    assert frames.rest() == b""


def test_texts_between_the_objects_are_passed_over() -> None:
    frames = JsonObjects()
    assert objects(frames, [b'["{", 7, "a\\', b'"{", {"a":1}, }, null, {"b":2}]']) == [{"a": 1}, {"b": 2}]


def test_an_object_that_the_stream_broke_off_in_is_the_rest() -> None:
    frames = JsonObjects()
    assert frames.feed(b'[{"a":1},{"usage":{"total') == b'data: {"a":1}\n\n'
    assert frames.rest() == b'data: {"usage":{"total\n\n'


def test_a_giant_object_keeps_its_ends_in_bounded_memory() -> None:
    frames = JsonObjects()
    tracemalloc.start()
    try:
        pieces = [b'{"id":"first","data":"', *[b"x" * 32_768] * 200, b'","usage":{"n":1}}\n{"id":"next"}\n']
        told = [frames.feed(piece) for piece in pieces]
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    giant, following = each_event(b"".join(told))
    assert giant.startswith(b'{"id":"first"')
    assert giant.endswith(b'"usage":{"n":1}}')
    assert b"\0" in giant
    assert len(giant) < 100_000
    assert following == b'{"id":"next"}'
    assert peak < 1_000_000


def generated(text: str, **more: Any) -> bytes:
    content = {"parts": [{"text": text}], "role": "model"}
    return dumped({"candidates": [{"content": content}], "modelVersion": "m", "responseId": "r", **more}, indent=2)


def array_reader() -> Reader:
    """Return the reader of a Gemini stream that comes as an array, whose first words have come."""
    reader = open_reader(Match("gemini.stream_generate", "google", "google"), 200, {"content-type": "application/json"})
    assert not reader.feed(b"[" + generated(""))
    assert not reader.first_token
    assert not reader.feed(b",\r\n" + generated("So"))
    assert reader.first_completion
    return reader


USAGE = {"promptTokenCount": 5, "candidatesTokenCount": 7, "totalTokenCount": 12}
FAILURE = b",\r\n" + dumped({"error": {"code": 503, "message": "overloaded"}}, indent=2)


def test_an_array_is_looked_at_when_it_has_ended_and_all_of_it_counts() -> None:
    reader = array_reader()
    assert not reader.feed(b",\r\n" + generated("be", usageMetadata=USAGE))
    assert not reader.feed(b",\r\n" + generated("it") + FAILURE[:20])
    assert not reader.feed(FAILURE[20:] + b"]")
    answer = reader.finish()
    assert (answer.response_id, answer.error_code, answer.usage) == ("r", "503", Usage(input_tokens=5, output_tokens=7))


def test_a_long_array_is_looked_at_before_it_has_ended() -> None:
    reader = array_reader()
    words = b",\r\n" + generated("many words " * 100, usageMetadata=USAGE)
    ends = [reader.feed(piece) for piece in (words, FAILURE, *[words] * 200)]
    assert ends.count(True) == 1
    assert not any(ends[:50])
    assert reader.finish().usage == Usage(input_tokens=5, output_tokens=7)


# --- Amazon's event streams ------------------------------------------------------------------------------------------


@given(st.lists(st.tuples(st.sampled_from(["messageStart", "metadata"]), VALUES), max_size=5), SIZES)
def test_messages_are_named_events_however_they_are_cut(told: list[tuple[str, Any]], sizes: list[int]) -> None:
    raw = b"".join(event(kind, payload) for kind, payload in told)
    for pieces in (cut(raw, sizes), [raw] if raw else []):
        named = list(each_named_event(blocks(AwsEvents(), pieces)))
        assert [(name.decode(), json.loads(data)) for name, data in named] == told


@given(st.lists(VALUES, min_size=1, max_size=4), SIZES)
def test_a_models_own_json_is_taken_out_of_its_wrapping(told: list[Any], sizes: list[int]) -> None:
    raw = b"".join(map(chunk, told))
    assert objects(AwsEvents(), cut(raw, sizes)) == told


WRAPPED = st.one_of(
    st.text(st.sampled_from('ab"\\\n\r é'), max_size=40).map(lambda text: {"type": "delta", "text": text}),
    TEXTS.map(lambda text: {"type": "stop", "index": 0, "more": text}),
    VALUES,
)


@given(st.lists(WRAPPED, max_size=16), SIZES, st.sampled_from(["", ',"p":"abcdef"', ' , "p" : "a"']))
def test_what_models_events_have_in_common_changes_nothing(told: list[Any], sizes: list[int], padding: str) -> None:
    inner = [base64.b64encode(json.dumps(one, indent=1).encode()).decode() for one in told]
    messages = [wrapped(f'{{"bytes":"{one}"{padding}}}'.encode()) for one in inner]
    raw = b"".join(messages)
    for pieces in (messages, cut(raw, sizes), [raw]):
        assert objects(AwsEvents(), pieces) == told


@pytest.mark.parametrize(
    ("payload", "expected"),
    [
        (b'{"bytes":"eyJh","p":"abc"}', b'{"a'),
        (b'{"bytes":"eyJhIjo', b'{"bytes":"eyJhIjo'),
        (b'{"bytes":"eyJhIjox!"}', b'{"bytes":"eyJhIjox!"}'),
        (b'{"bytes":"eyJhIjoxfQ="}', b""),
        (b'{ "bytes" : "eyJiIjoxfQ==" }', b'{"b":1}'),
        (b"{}", b"{}"),
    ],
)
def test_a_message_unlike_the_ones_before_is_read_as_it_is(payload: bytes, expected: bytes) -> None:
    frames = AwsEvents()
    for turn in range(2):
        for number in range(10):
            inner = base64.b64encode(b'{"a":%d}' % number)
            told = frames.feed(wrapped(b'{"bytes":"%s","p":"b"}' % inner))
            assert told == b'event: chunk\ndata: {"a":%d}\n\n' % number
        assert frames.feed(wrapped(payload)) == b"event: chunk\ndata: %s\n\n" % expected, turn
    assert frames.feed(message(b"{}", exception_type="gone")) == b"event: gone\ndata: {}\n\n"


@given(st.lists(st.tuples(st.sampled_from(["delta", "delta", "stop"]), TEXTS), max_size=12), SIZES)
def test_messages_that_wrap_nothing_are_named_events_however_they_are_cut(
    told: list[tuple[str, str]], sizes: list[int]
) -> None:
    messages = [event(kind, {"text": text}) for kind, text in told]
    for pieces in (messages, cut(b"".join(messages), sizes), [b"".join(messages)]):
        frames = AwsEvents()
        named = [one for piece in pieces for one in each_named_event(frames.feed(piece))]
        assert [(name.decode(), json.loads(data)) for name, data in named] == [
            (kind, {"text": text}) for kind, text in told
        ]


def test_headers_are_as_long_as_a_message_says() -> None:
    frames, usual = AwsEvents(), event("delta", {"text": "a"})
    for _ in range(3):
        assert frames.feed(usual) == b'event: delta\ndata: {"text": "a"}\n\n'
    told = frames.feed(usual[:4] + b"\0\0\0\0" + usual[8:])
    assert told.startswith(b"event: message\ndata: \x0b:event-type")
    with pytest.raises(UndecodableError):
        frames.feed(usual[:4] + b"\0\0\xff\0" + usual[8:])


def test_an_exception_gives_the_event_its_name() -> None:
    raw = message(b'{"message":"slow down"}', exception_type="throttlingException", message_type="exception")
    assert AwsEvents().feed(raw) == b'event: throttlingException\ndata: {"message":"slow down"}\n\n'
    assert AwsEvents().feed(message(b"{}", error_code="InternalError")) == b"event: InternalError\ndata: {}\n\n"
    assert AwsEvents().feed(message(b"{}")) == b"event: message\ndata: {}\n\n"


def test_headers_of_every_type_are_passed_over() -> None:
    values = [b"\x00", b"\x01", b"\x02a", b"\x03ab", b"\x04abcd", b"\x05abcdefgh", b"\x06\x00\x03xyz", b"\x08abcdefgh"]
    headers = b"".join(b"\x02:%d" % index + value for index, value in enumerate([*values, b"\x09" + b"u" * 16]))
    headers += b"\x0b:event-type\x07\x00\x04last"
    raw = struct.pack(">III", 16 + len(headers) + 2, len(headers), 0) + headers + b"{}" + b"\0\0\0\0"
    assert AwsEvents().feed(raw) == b"event: last\ndata: {}\n\n"


def test_headers_that_break_off_name_nothing() -> None:
    for headers in (b"\x0b:event-type", b"\x0b:event", b"\x0b:event-type\x07\x00", b"\xff"):
        raw = struct.pack(">III", 16 + len(headers) + 2, len(headers), 0) + headers + b"{}" + b"\0\0\0\0"
        assert AwsEvents().feed(raw).endswith(b"\ndata: {}\n\n")


def test_wrong_checksums_are_not_looked_at() -> None:
    assert AwsEvents().feed(message(b"{}", checksum=False, event_type="x")) == b"event: x\ndata: {}\n\n"


def test_a_wrapping_that_is_none_stays_as_it_is() -> None:
    assert AwsEvents().feed(event("chunk", {"text": "x"})) == b'event: chunk\ndata: {"text": "x"}\n\n'
    assert AwsEvents().feed(event("chunk", {"bytes": "abc"})) == b"event: chunk\ndata: \n\n"


def test_line_ends_in_a_payload_do_not_end_the_event() -> None:
    assert list(each_event(AwsEvents().feed(message(b'{\r\n"a":\n1}', event_type="x")))) == [b'{  "a": 1}']


def test_a_name_cannot_forge_an_event() -> None:
    raw = message(b"{}", event_type="x\n\ndata: {}")
    assert AwsEvents().feed(raw) == b"event: xdata: {}\ndata: {}\n\n"


@pytest.mark.parametrize("raw", [b"\0\0\0\x05" + b"\0" * 8, b"\xff" * 12, struct.pack(">III", 100, 99, 0)])
def test_what_is_no_event_stream_is_given_up(raw: bytes) -> None:
    with pytest.raises(UndecodableError):
        AwsEvents().feed(raw)
    with pytest.raises(UndecodableError):
        blocks(AwsEvents(), cut(raw, [1]))


def test_a_message_that_was_cut_off_says_nothing() -> None:
    frames = AwsEvents()
    assert frames.feed(event("metadata", {"a": 1})[:-1]) == b""
    assert frames.rest() == b""


def test_a_giant_message_keeps_its_ends_in_bounded_memory() -> None:
    raw = event("metadata", {"id": "first", "data": "x" * 8_000_000, "usage": {"n": 1}}) + event("next", {})
    frames = AwsEvents()
    tracemalloc.start()
    try:
        told = [frames.feed(raw[at : at + 32_768]) for at in range(0, len(raw), 32_768)]
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    (name, giant), following = each_named_event(b"".join(told))
    assert name == b"metadata"
    assert giant.startswith(b'{"id": "first"')
    assert giant.endswith(b'"usage": {"n": 1}}')
    assert b"\0" in giant
    assert len(giant) < 200_000
    assert following == (b"next", b"{}")
    assert peak < 1_000_000


def test_names_of_messages_are_remembered_in_bounded_memory() -> None:
    frames = AwsEvents()
    for number in range(500):
        assert frames.feed(event(f"kind{number}", {})) == b"event: kind%d\ndata: {}\n\n" % number


# --- which is it -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("first", "content_type", "framing", "expected"),
    [
        (b"\0", "application/vnd.amazon.eventstream", "events", AwsEvents),
        (b"\0", "", "events", AwsEvents),
        (b"d", "application/json", "events", Events),
        (b"d", "application/json", "objects", Events),
        (b"{", "application/x-ndjson; charset=utf-8", "events", JsonObjects),
        (b"{", "application/stream+json", "events", JsonObjects),
        (b"{", "text/event-stream", "events", None),
        (b"{", "application/json", "objects", None),
        (b"{", "", "objects", JsonObjects),
        (b"[", "application/json", "objects", JsonObjects),
        (b"[", "application/json", "events", None),
        (b"{", "application/octet-stream", "lines", JsonObjects),
        (b"%", "application/pdf", "lines", None),
        (b"<", "text/html", "events", None),
        (b"", "text/event-stream", "events", None),
    ],
)
def test_the_first_byte_decides_and_the_content_type_where_that_is_open(
    first: bytes, content_type: str, framing: Any, expected: type[Any] | None
) -> None:
    frames = frames_of(first, content_type, framing)
    assert (None if frames is None else type(frames)) is expected


def test_what_content_types_announce() -> None:
    assert is_opaque("audio/mpeg")
    assert not is_opaque("application/json")
    assert is_stream("application/vnd.amazon.eventstream")
    assert is_stream("application/x-ndjson")
    assert not is_stream("application/json")


def test_lines_that_are_sent_as_one_body_are_read_all_the_same() -> None:
    lines = [{"model": "m", "message": {"content": "x" * 40_000}, "done": False}] * 2
    final = {"model": "m", "done": True, "done_reason": "stop", "prompt_eval_count": 5, "eval_count": 7}
    reader = open_reader(Match("ollama.chat", "ollama", "ollama"), 200, {"content-type": "application/json"})
    for line in (*lines, final):
        reader.feed(json.dumps(line).encode() + b"\n")
    assert reader.finish().usage == Usage(input_tokens=5, output_tokens=7)


# --- named server-sent events ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("block", "expected"),
    [
        (b"event: a\ndata: 1\n\ndata: 2\n\n", [(b"a", b"1"), (b"", b"2")]),
        (b"event:a\r\ndata:1\r\n\r\n", [(b"a", b"1")]),
        (b"id: 7\nevent: a\ndata: 1\ndata: 2\n\n", [(b"a", b"1\n2")]),
        (b"data: 1\nevent: a\n\n", [(b"a", b"1")]),
        (b": comment\n\nevent: a\n\n", []),
        (b"\xef\xbb\xbfevent: a\ndata: 1\n\n", [(b"a", b"1")]),
    ],
)
def test_events_are_told_with_their_names(block: bytes, expected: list[tuple[bytes, bytes]]) -> None:
    assert list(each_named_event(block)) == expected
