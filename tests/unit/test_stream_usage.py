"""Asking for a stream's usage, and taking out what that adds."""

from __future__ import annotations

import gzip
import json
import zlib
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from payi_middleware.stream_usage import ExtraChunk, UndecodableError, asking_for_usage, is_signed, taking_out

EVENTS = [
    b'data: {"id":"a","choices":[{"delta":{"content":"Hel"}}],"usage":null}\n\n',
    b'data: {"id":"a","choices":[{"delta":{"content":"\\"choices\\":[] \\"usage\\":{"}}],"usage":null}\n\n',
    b'data: {"id":"a","choices":[],"prompt_filter_results":[],"usage":null}\n\n',
]
EXTRA = b'data: {"id":"a","choices": [],"usage": {"prompt_tokens":3,"completion_tokens":2,"total_tokens":5}}\n\n'
DONE = b"data: [DONE]\n\n"


def asked(body: Any) -> Any:
    changed = asking_for_usage(body if isinstance(body, bytes) else json.dumps(body).encode())
    return None if changed is None else json.loads(changed)


def test_a_stream_that_says_nothing_of_usage_is_asked_for_it_and_keeps_all_else() -> None:
    body = {"model": "m", "messages": [{"content": "}"}], "stream": True}
    assert asked(body) == {**body, "stream_options": {"include_usage": True}}


def test_blanks_around_the_body_do_not_matter() -> None:
    assert asked(b' {"model": "m", "stream" : true }\n ') == {
        "model": "m",
        "stream": True,
        "stream_options": {"include_usage": True},
    }


@pytest.mark.parametrize("options", [{}, {"include_obfuscation": False}, {"include_usage": None, "chunk": "é"}])
def test_options_that_do_not_decide_it_are_completed(options: dict[str, Any]) -> None:
    body = {"model": "m", "stream": True, "stream_options": options, "messages": [{"content": "Zoë \ud800"}]}
    assert asked(body) == {**body, "stream_options": {**options, "include_usage": True}}


def test_options_that_are_null_are_filled_in() -> None:
    assert asked({"stream": True, "stream_options": None})["stream_options"] == {"include_usage": True}


@pytest.mark.parametrize(
    "body",
    [
        {"stream": False},
        {"model": "m"},
        {"stream": True, "stream_options": {"include_usage": False}},
        {"stream": True, "stream_options": "all"},
        {"stream": True, "data_sources": [{"type": "azure_search"}]},
        {"tools": [{"parameters": {"stream": True}}]},
        {"messages": [{"content": '"stream":true'}]},
        [{"stream": True}],
        b'{"stream":true',
        b"",
    ],
)
def test_what_is_no_silent_stream_stays_as_it_is(body: Any) -> None:
    assert asked(body) is None


def test_a_body_that_is_not_in_memory_stays_as_it_is() -> None:
    assert asking_for_usage(None) is None


@pytest.mark.parametrize(
    ("headers", "signed"),
    [
        ({"authorization": "AWS4-HMAC-SHA256 Credential=x"}, True),
        ({"x-amz-content-sha256": "x"}, True),
        ({"content-digest": "sha-256=:x:"}, True),
        ({"content-md5": "x"}, True),
        ({"authorization": "Bearer x"}, False),
        ({}, False),
    ],
)
def test_a_signed_request_is_told_by_its_headers(headers: dict[str, str], signed: bool) -> None:
    assert is_signed(headers) is signed


@given(st.lists(st.integers(1, 400), max_size=12), st.sampled_from([b"\n\n", b"\r\n\r\n", b"\r\r"]))
def test_however_the_stream_is_cut_only_the_extra_chunk_is_taken_out(cuts: list[int], separator: bytes) -> None:
    whole = b"".join([*EVENTS, EXTRA, DONE]).replace(b"\n\n", separator)
    wanted = b"".join([*EVENTS, DONE]).replace(b"\n\n", separator)
    taker, got, start = ExtraChunk(), b"", 0
    for length in [*cuts, len(whole)]:
        got += taker.pass_on(whole[start : start + length])
        start += length
    assert got + taker.rest() == wanted


def test_a_complete_event_is_passed_on_at_once() -> None:
    taker = ExtraChunk()
    assert taker.pass_on(EVENTS[0] + b"data: {") == EVENTS[0]


def test_a_stream_that_ends_within_an_event_loses_nothing() -> None:
    taker = ExtraChunk()
    assert taker.pass_on(EVENTS[0][:20]) + taker.rest() == EVENTS[0][:20]


def test_an_endless_event_is_not_held_back() -> None:
    taker = ExtraChunk()
    assert len(taker.pass_on(b"data: " + b"x" * 100_000)) == 100_006


def test_usage_beside_the_last_words_is_left_to_the_app() -> None:
    event = b'data: {"choices":[{"delta":{"content":"!"}}],"usage":{"prompt_tokens":3}}\n\n'
    assert ExtraChunk().pass_on(event) == event


def bare_deflate(raw: bytes) -> bytes:
    compress = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    return compress.compress(raw) + compress.flush()


@pytest.mark.parametrize(
    ("encoding", "encode"),
    [
        ("gzip", gzip.compress),
        ("deflate", zlib.compress),
        ("deflate", bare_deflate),
        ("deflate, gzip", lambda raw: gzip.compress(zlib.compress(raw))),
        ("identity", bytes),
    ],
)
@pytest.mark.parametrize("size", [1, 7, 10_000])
def test_it_is_taken_out_of_compressed_bytes_too(encoding: str, encode: Callable[[bytes], bytes], size: int) -> None:
    sent = encode(b"".join([*EVENTS, EXTRA, DONE]))
    taker = taking_out(200, {"content-encoding": encoding})
    assert taker is not None
    assert taker.decodes is (encoding != "identity")
    got = b"".join(taker.pass_on(sent[start : start + size]) for start in range(0, len(sent), size))
    assert got + taker.rest() == b"".join([*EVENTS, DONE])


def test_bytes_that_are_not_what_they_are_said_to_be_are_not_passed_off_as_a_stream() -> None:
    taker = taking_out(200, {"content-encoding": "gzip"})
    assert taker is not None
    with pytest.raises(UndecodableError):
        taker.pass_on(EVENTS[0])


@pytest.mark.parametrize(
    ("status", "headers"),
    [
        (400, {"content-type": "text/event-stream"}),
        (200, {"content-type": "application/json"}),
        (200, {"content-encoding": "dcb"}),
        (200, {"content-encoding": "gzip, dcb"}),
    ],
)
def test_where_nothing_can_be_found_nothing_is_taken_out(status: int, headers: dict[str, str]) -> None:
    assert taking_out(status, headers) is None


def test_what_somebody_else_has_decoded_is_not_decoded_again() -> None:
    taker = taking_out(200, {"content-encoding": "gzip"}, decoded=True)
    assert taker is not None
    assert taker.pass_on(EVENTS[0] + EXTRA + DONE) == EVENTS[0] + DONE
