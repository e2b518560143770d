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

from payi_middleware.providers import Match, Usage, open_reader
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
OBJECTS = st.lists(st.dictionaries(TEXTS, VALUES, max_size=3), max_size=5)
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


def cut(data: bytes, sizes: list[int]) -> Iterator[bytes]:
    at = turn = 0
    while at < len(data):
        size = sizes[turn % len(sizes)]
        yield data[at : at + size]
        at, turn = at + size, turn + 1


def blocks(frames: Frames, pieces: Iterable[bytes]) -> bytes:
    return b"".join([frames.feed(piece) for piece in pieces]) + frames.rest()


def objects(frames: Frames, pieces: Iterable[bytes]) -> list[Any]:
    return [json.loads(data) for data in each_event(blocks(frames, pieces))]


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


@given(OBJECTS)
def test_whole_lines_in_one_chunk_are_one_event_each(given_objects: list[Any]) -> None:
    told = "".join(json.dumps(one) + "\n" for one in given_objects).encode()
    assert objects(JsonObjects(), [told]) == given_objects


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
