"""From raw bytes to an answer: cuts, encodings, lies, corruption, and bounds on memory."""

from __future__ import annotations

import gc
import gzip
import json
import tracemalloc
import zlib
from collections.abc import Callable, Iterator
from itertools import pairwise
from typing import Any, cast

import brotli
import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from payi_middleware.providers import Answer, FunctionCall, Match, Reader, Usage, decoding, open_reader
from payi_middleware.providers.family import calls

CHAT = Match("openai.chat", "system.openai", "openai")
RESPONSES = Match("openai.responses", "system.openai", "openai")
MESSAGES = Match("anthropic.messages", "system.anthropic", "anthropic")
EMBEDDINGS = Match("openai.embeddings", "system.openai", "openai")
SSE = {"content-type": "text/event-stream; charset=utf-8"}
JSON = {"content-type": "application/json"}

CHAT_STREAM = b"".join(
    b"data: %s\n\n" % event
    for event in (
        b'{"id":"c1","model":"gpt","choices":[{"index":0,"delta":{"role":"assistant","content":""}}],"usage":null}',
        b'{"id":"c1","model":"gpt","choices":[{"index":0,"delta":{"content":"Gr\xc3\xbc\xc3\x9fe"}}],"usage":null}',
        b'{"id":"c1","model":"gpt","choices":[{"index":0,"delta":{"content":" \\"you\\""}}],"usage":null}',
        b'{"id":"c1","model":"gpt","choices":[{"index":0,"delta":{"content":" two"}}],"usage":null}',
        b'{"id":"c1","choices":[{"delta":{"tool_calls":[{"index":0,"id":"t","function":{"name":"f","arguments":""}}]}}]}',
        b'{"id":"c1","choices":[{"delta":{"tool_calls":[{"index":0,"function":{"arguments":"{}"}}]}}]}',
        b'{"id":"c1","model":"gpt","choices":[{"index":0,"delta":{},"finish_reason":"tool_calls"}],"usage":null}',
        b'{"id":"c1","model":"gpt","choices":[],"usage":{"prompt_tokens":9,"completion_tokens":4}}',
        b"[DONE]",
    )
)
MESSAGES_STREAM = (
    b'event: message_start\ndata: {"type":"message_start","message":{"id":"m1","type":"message","model":"claude",'
    b'"usage":{"input_tokens":5,"cache_read_input_tokens":2,"output_tokens":1}}}\n\n'
    b": keep-alive\n\nevent: ping\ndata: {}\n\n"
    b'event: content_block_delta\ndata: {"type":"content_block_delta",\n'
    b'data: "index":0,"delta":{"type":"text_delta","text":"Hi"}}\n\n'
    b'event: message_delta\ndata: {"type":"message_delta","delta":{"stop_reason":"end_turn"},\n'
    b'data: "usage":{"output_tokens":7}}\n\n'
    b'event: message_stop\ndata: {"type":"message_stop"}\n\n'
)
RESPONSES_STREAM = (
    b'event: response.created\ndata: {"type":"response.created","response":{"id":"r1","model":"gpt"}}\n\n'
    b'event: response.output_text.delta\ndata: {"type":"response.output_text.delta","delta":"Hi"}\n\n'
    b'event: response.completed\ndata: {"type":"response.completed","response":{"id":"r1","model":"gpt",'
    b'"status":"completed","output":[],"usage":{"input_tokens":3,"output_tokens":2}}}\n\n'
)
STREAMS = [(CHAT, CHAT_STREAM), (MESSAGES, MESSAGES_STREAM), (RESPONSES, RESPONSES_STREAM)]
CHAT_BODY = b'{"id":"c2","model":"gpt","choices":[],"usage":{"prompt_tokens":3,"completion_tokens":2}}'
MESSAGES_BODY = b'{"id":"m2","model":"claude","content":[],"usage":{"input_tokens":3,"output_tokens":2}}'
BODIES = [(CHAT, CHAT_BODY), (MESSAGES, MESSAGES_BODY)]
EXCHANGES = [(match, SSE, raw) for match, raw in STREAMS] + [(match, JSON, raw) for match, raw in BODIES]


def bare_deflate(data: bytes) -> bytes:
    squeezer = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    return squeezer.compress(data) + squeezer.flush()


def members(data: bytes) -> bytes:
    half = len(data) // 2
    return gzip.compress(data[:half]) + gzip.compress(data[half:]) + b"\0\0\0"


def frames(data: bytes) -> bytes:
    half = len(data) // 2
    return zstandard.compress(data[:half]) + zstandard.compress(data[half:])


def flushed(data: bytes) -> bytes:
    squeezer = zlib.compressobj(wbits=zlib.MAX_WBITS | 16)
    pieces = [squeezer.compress(data[i : i + 50]) + squeezer.flush(zlib.Z_SYNC_FLUSH) for i in range(0, len(data), 50)]
    return b"".join(pieces) + squeezer.flush()


ENCODINGS: dict[str, tuple[str, Callable[[bytes], bytes]]] = {
    "plain": ("", bytes),
    "identity": ("identity", bytes),
    "gzip": ("gzip", gzip.compress),
    "gzip-members": ("x-gzip", members),
    "gzip-flushed": ("GZIP", flushed),
    "deflate": ("deflate", zlib.compress),
    "deflate-bare": ("deflate", bare_deflate),
    "br": ("br", brotli.compress),
    "zstd": ("zstd", zstandard.compress),
    "zstd-frames": ("zstd", frames),
    "chain": ("gzip, br", lambda data: brotli.compress(gzip.compress(data))),
}


def play(
    match: Match, headers: dict[str, str], raw: bytes, cuts: list[int] | None = None, status: int = 200
) -> tuple[Answer, int, Reader]:
    """Feed `raw` cut at `cuts`; return the answer, how often `feed` told of the terminal event, and the reader."""
    reader = open_reader(match, status, headers)
    ends = 0
    edges = [0, *sorted({cut % (len(raw) + 1) for cut in cuts or []}), len(raw)]
    for start, end in pairwise(edges):
        ends += reader.feed(raw[start:end])
    return reader.finish(), ends, reader


@pytest.mark.parametrize("encoding", ENCODINGS)
@given(exchange=st.sampled_from(EXCHANGES), cuts=st.lists(st.integers(0, 4000), max_size=60))
def test_no_cut_and_no_encoding_changes_the_answer(
    encoding: str, exchange: tuple[Match, dict[str, str], bytes], cuts: list[int]
) -> None:
    match, headers, raw = exchange
    name, squeeze = ENCODINGS[encoding]
    whole, whole_ends, _ = play(match, headers, raw)
    answer, ends, reader = play(match, headers | {"content-encoding": name}, squeeze(raw), cuts)
    assert answer == whole
    assert answer.usage is not None
    assert ends == whole_ends == (1 if headers is SSE else 0)
    assert reader.first_completion is reader.first_token is (headers is SSE)


@pytest.mark.parametrize("line_end", [b"\n", b"\r\n", b"\r"], ids=["lf", "crlf", "cr"])
@given(stream=st.sampled_from(STREAMS), cuts=st.lists(st.integers(0, 4000), max_size=60))
def test_every_line_end_of_the_standard_is_one(line_end: bytes, stream: tuple[Match, bytes], cuts: list[int]) -> None:
    match, raw = stream
    answer, ends, _ = play(match, SSE, b"\xef\xbb\xbf" + raw.replace(b"\n", line_end), cuts)
    assert answer == play(match, SSE, raw)[0]
    assert ends == 1


@pytest.mark.parametrize(("match", "raw"), STREAMS, ids=["chat", "messages", "responses"])
def test_a_line_end_of_two_bytes_may_be_cut_in_two(match: Match, raw: bytes) -> None:
    expected = play(match, SSE, raw)[:2]
    raw = raw.replace(b"\n", b"\r\n")
    for cut in range(len(raw)):
        assert play(match, SSE, raw, [cut])[:2] == expected


def test_the_end_is_told_once() -> None:
    error = b'data: {"error":{"message":"Late"}}\n\n'
    _, ends, _ = play(CHAT, SSE, CHAT_STREAM + error + b"data: [DONE]\n\n", [len(CHAT_STREAM)])
    assert ends == 1


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_a_decoder_gives_back_every_byte(encoding: str) -> None:
    name, squeeze = ENCODINGS[encoding]
    content = b"x" * 1_000_003
    squeezed = squeeze(content)
    for size in (len(squeezed), 7):
        decode = decoding.decoder_for(name)
        chunks = [squeezed[at : at + size] for at in range(0, len(squeezed), size)]
        pieces = [piece for chunk in chunks for piece in (decode(chunk) if decode else (chunk,))]
        assert b"".join(pieces) == content
        assert decode is None or max(map(len, pieces)) <= 64 * 131_072


def test_line_ends_may_change_within_a_stream() -> None:
    head, tail = CHAT_STREAM.split(b"\n\n", 1)
    assert play(CHAT, SSE, head + b"\r\n\r\n" + tail)[:2] == play(CHAT, SSE, CHAT_STREAM)[:2]


def test_byte_by_byte_is_read_like_the_whole() -> None:
    for match, headers, raw in EXCHANGES:
        assert play(match, headers, raw, list(range(len(raw))))[0] == play(match, headers, raw)[0]


@given(
    exchange=st.sampled_from(EXCHANGES),
    encoding=st.sampled_from(sorted(ENCODINGS)),
    at=st.integers(0, 4000),
    junk=st.binary(max_size=12),
    drop=st.integers(0, 30),
    cuts=st.lists(st.integers(0, 4000), max_size=20),
)
def test_corrupt_bytes_never_raise(
    exchange: tuple[Match, dict[str, str], bytes], encoding: str, at: int, junk: bytes, drop: int, cuts: list[int]
) -> None:
    match, headers, raw = exchange
    name, squeeze = ENCODINGS[encoding]
    squeezed = squeeze(raw)
    at %= len(squeezed) + 1
    bad = squeezed[:at] + junk + squeezed[at + drop :]
    answer, ends, _ = play(match, headers | {"content-encoding": name}, bad, cuts)
    assert isinstance(answer, Answer)
    assert ends <= 1


JSONISH = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3)
    | st.dictionaries(
        st.sampled_from(
            ["usage", "choices", "delta", "message", "tool_calls", "function", "name", "index", "id", "model", "type",
             "response", "output", "content", "error", "iterations", "prompt_tokens", "input_tokens", "cache_creation",
             "output_tokens_details", "finish_reason", "arguments"]
        ),
        inner,
        max_size=6,
    ),
    max_leaves=20,
)  # fmt: skip


@given(match=st.sampled_from([CHAT, RESPONSES, MESSAGES]), status=st.sampled_from([200, 400]), body=JSONISH)
def test_json_of_any_other_shape_never_raises(match: Match, status: int, body: Any) -> None:
    raw = json.dumps(body).encode()
    for headers, sent in ((JSON, raw), (SSE, b"data: " + raw + b"\n\n" + CHAT_STREAM)):
        answer, _, _ = play(match, headers, sent, None, status)
        assert not any("Error in the parser" in note for note in answer.notes.values())


@pytest.mark.parametrize("start", [b"{", b"data: x"])
def test_what_is_not_even_bytes_does_not_reach_the_app_as_an_error(start: bytes) -> None:
    reader = open_reader(CHAT, 200, {})
    assert reader.feed(start) is False
    assert reader.feed(cast("bytes", 7)) is False
    assert reader.feed(b"}") is False
    assert reader.finish().notes == {"system.usage.missing": "TypeError in the parser"}


def test_a_fault_at_the_end_is_noted_and_not_raised() -> None:
    reader = open_reader(CHAT, 200, {})
    reader.feed(b"{")
    reader.feed(cast("bytes", "x" * 1000))
    assert reader.finish().notes == {"system.usage.missing": "TypeError in the parser"}


def test_arguments_that_cannot_be_written_leave_the_name() -> None:
    endless: list[object] = []
    endless.append(endless)
    assert calls([("f", endless), ("g", "x" * 40_000)]) == (FunctionCall("f"), FunctionCall("g"))


def test_more_encodings_than_anybody_uses_are_refused() -> None:
    answer, _, _ = play(CHAT, JSON | {"content-encoding": "gzip,gzip,gzip,gzip,gzip"}, CHAT_BODY)
    assert answer.notes == {"system.usage.missing": "too many content encodings"}


def test_a_stream_that_calls_itself_json_is_read_as_a_stream() -> None:
    answer, ends, _ = play(CHAT, JSON, CHAT_STREAM, [1, 3])
    assert (answer.usage, ends) == (Usage(input_tokens=9, output_tokens=4), 1)
    squeezed, _, _ = play(CHAT, JSON | {"content-encoding": "gzip"}, gzip.compress(CHAT_STREAM))
    assert squeezed == answer


def test_a_body_that_calls_itself_a_stream_is_read_as_a_body() -> None:
    assert play(CHAT, SSE, b"\n " + CHAT_BODY, [1])[0] == play(CHAT, JSON, CHAT_BODY)[0]


def test_an_answer_without_content_type_is_read() -> None:
    assert play(CHAT, {}, CHAT_STREAM)[0].usage == Usage(input_tokens=9, output_tokens=4)
    assert play(CHAT, {}, CHAT_BODY)[0].usage == Usage(input_tokens=3, output_tokens=2)


def test_a_stream_that_breaks_off_inside_its_last_event_still_gives_it() -> None:
    cut = CHAT_STREAM.index(b"data: [DONE]") - 1
    assert play(CHAT, SSE, CHAT_STREAM[:cut])[0].usage == Usage(input_tokens=9, output_tokens=4)


def test_a_body_that_breaks_off_gives_what_it_told() -> None:
    answer, _, _ = play(CHAT, JSON, CHAT_BODY[:40])
    assert (answer.response_id, answer.model, answer.usage) == ("c2", "gpt", None)
    assert answer.notes == {"system.usage.missing": "answer not understood"}


def test_of_several_usages_in_a_broken_body_the_last_holds() -> None:
    raw = b'{"id":"c3","tools":[{"usage":{"prompt_tokens":1}}],"usage":{"prompt_tokens":8,"completion_tokens":2},"x'
    assert play(CHAT, JSON, raw)[0].usage == Usage(input_tokens=8, output_tokens=2)


def test_an_empty_body_says_so() -> None:
    assert play(CHAT, JSON, b"")[0].notes == {"system.usage.missing": "empty answer"}


def test_an_encoding_that_is_unknown_is_named() -> None:
    answer, _, _ = play(CHAT, SSE | {"content-encoding": "sdch"}, CHAT_STREAM)
    assert answer.notes == {"system.usage.missing": "content encoding sdch cannot be decoded here"}


def test_an_encoding_whose_library_is_missing_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    missing = decoding._optional("a_module_that_nobody_has")
    monkeypatch.setattr(decoding, "_optional", lambda name: missing)
    answer, _, _ = play(CHAT, JSON | {"content-encoding": "br"}, brotli.compress(CHAT_BODY))
    assert answer.notes == {"system.usage.missing": "content encoding br cannot be decoded here"}


@pytest.mark.parametrize("encoding", ["gzip", "deflate", "br", "zstd"])
def test_corrupt_compression_is_named(encoding: str) -> None:
    answer, _, _ = play(CHAT, JSON | {"content-encoding": encoding}, b"\xff\xff not compressed at all")
    assert answer.notes == {"system.usage.missing": "corrupt compressed body"}


@pytest.mark.parametrize(
    ("raw", "code", "message"),
    [
        (b'{"error":{"code":"not_found","type":"invalid","message":"No such model"}}', "not_found", "No such model"),
        (b'{"type":"error","error":{"type":"overloaded_error","message":"Busy"}}', "overloaded_error", "Busy"),
        (b'{"object":"error","code":1500,"message":"Invalid model"}', "1500", "Invalid model"),
        (b'{"code":"invalid-argument","error":"Bad"}', "invalid-argument", "Bad"),
        (b'{"detail":"Not authenticated"}', None, "Not authenticated"),
        (b'[{"error":{"code":429,"message":"Quota"}}]', "429", "Quota"),
        (b"[]", None, "[]"),
        (b"upstream timed out", None, "upstream timed out"),
        (b"<html>502</html>", None, None),
        (b"", None, None),
    ],
)  # fmt: skip
def test_an_error_status_is_read_in_every_shape(raw: bytes, code: str | None, message: str | None) -> None:
    answer, _, _ = play(CHAT, JSON, raw, None, 400)
    assert (answer.error_code, answer.error_message, answer.usage) == (code, message, None)


def test_an_error_message_is_short_and_has_no_key_in_it() -> None:
    error = {"error": {"message": "Incorrect API key provided: hunter2. Or sk-live_0123456789?" + "x" * 900}}
    message = play(CHAT, JSON, json.dumps(error).encode(), None, 401)[0].error_message
    assert message is not None
    assert message.startswith("Incorrect API key provided: [redacted] Or [redacted]?")
    assert len(message) == 500


def test_a_giant_embedding_is_read_by_its_ends() -> None:
    row = b'{"object":"embedding","index":0,"embedding":[' + b"0.0123456789," * 100_000 + b"1]},"
    end = b'{}],"model":"text-embedding-3-large","usage":{"prompt_tokens":8,"total_tokens":8}}'
    raw = b'{"object":"list","data":[' + row * 10 + end
    for name, squeezed in (("", raw), ("gzip", gzip.compress(raw, 1))):
        headers = JSON | {"content-encoding": name}
        answer, _, _ = play(EMBEDDINGS, headers, squeezed, list(range(0, len(squeezed), 65_536)))
        assert (answer.usage, answer.model) == (Usage(input_tokens=8), "text-embedding-3-large")


def endless(kind: str) -> Iterator[bytes]:
    opening, piece = CHAT_STREAM[:400], b""
    if kind == "one event":
        piece = b"x" * 65_536
    elif kind == "usage in each":
        piece = b'data: {"id":"a","model":"m","usage":{"prompt_tokens":1,"x":"%s"}}\n\n' % (b"y" * 20_000)
    elif kind == "calls":
        piece = b'data: {"choices":[{"delta":{"tool_calls":[{"function":{"name":"f","arguments":"x"}}]}}]}\n\n' * 300
    elif kind == "fragments":
        piece = b'data: {"choices":[{"delta":{"tool_calls":[{"function":{"arguments":"x"}}]}}]}\n\n' * 300
    elif kind == "finishes":
        piece = b'data: {"choices":[{"finish_reason":"stop"}]}\n\n' * 300
    elif kind == "errors":
        piece = b'data: {"type":"error","error":{"message":"%s"}}\n\n' % (b"y" * 30_000)
    elif kind == "comments":
        piece = b": keep-alive\n" * 1000
    elif kind == "items":
        piece = b'data: {"type":"response.output_item.done","item":{"type":"function_call","name":"f"}}\n\n' * 300
    elif kind == "tools":
        piece = b'data: {"type":"content_block_start","content_block":{"type":"tool_use","name":"f"}}\n\n' * 300
    elif kind == "nameless":
        opening, piece = b"", b'data: {"choices":[{"delta":{"content":"x"}}]}\n\n' * 300
    yield opening
    for _ in range(2**20 // len(piece)):
        yield bytes(bytearray(piece))


KINDS = [
    "one event",
    "usage in each",
    "calls",
    "fragments",
    "finishes",
    "errors",
    "comments",
    "items",
    "tools",
    "nameless",
]


@pytest.mark.parametrize("match", [CHAT, RESPONSES, MESSAGES], ids=lambda match: match.api)
@pytest.mark.parametrize("kind", KINDS)
def test_an_endless_stream_takes_256_kib_at_most(match: Match, kind: str) -> None:
    reader = open_reader(match, 200, SSE)
    assert held_by(reader, endless(kind)) < 256 * 1024
    assert isinstance(reader.finish(), Answer)


def test_a_decompression_bomb_takes_256_kib_at_most() -> None:
    bomb = gzip.compress(b"data: " + bytes(20 * 2**20), 9)
    reader = open_reader(CHAT, 200, SSE | {"content-encoding": "gzip"})
    assert held_by(reader, iter([bomb])) < 256 * 1024


@pytest.mark.parametrize("encoding", ["br", "zstd"])
def test_a_bomb_of_another_kind_inflates_piece_by_piece(encoding: str) -> None:
    bomb = ENCODINGS[encoding][1](b"data: " + bytes(20 * 2**20))
    reader = open_reader(CHAT, 200, SSE | {"content-encoding": encoding})
    # The decoder's own window counts here: 8 MiB at most for zstd; brotli allocates outside of what can be traced.
    assert held_by(reader, iter([bomb])) < 9 * 2**20


def test_one_giant_chunk_is_not_kept() -> None:
    reader = open_reader(CHAT, 200, SSE)
    assert held_by(reader, iter([b"data: " + b"x" * (20 * 2**20)])) < 256 * 1024
    body = open_reader(EMBEDDINGS, 200, JSON)
    assert held_by(body, iter([b'{"data":"' + b"x" * (20 * 2**20)])) < 512 * 1024


def test_a_body_of_crumbs_weighs_little_more_than_its_bytes() -> None:
    reader = open_reader(EMBEDDINGS, 200, JSON)
    crumbs = (bytes(bytearray(b"{xyz")) for _ in range(60_000))
    assert held_by(reader, crumbs) < 320_000


def held_by(reader: Reader, chunks: Iterator[bytes]) -> int:
    """Feed the chunks and return how many more bytes are allocated after it than before."""
    gc.collect()
    tracemalloc.start()
    before, _ = tracemalloc.get_traced_memory()
    for chunk in chunks:
        reader.feed(chunk)
    del chunk
    gc.collect()
    after, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    return after - before
