"""A stream passes through chunk by chunk, byte by byte, at the provider's pace."""

from __future__ import annotations

import gzip
import json
import zlib
from collections.abc import AsyncIterator, Callable, Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import anthropic
import brotli
import openai
import pytest
import zstandard

from payi_middleware import AsyncPayiTransport, PayiTransport, Settings, instrument
from payi_middleware.demo.provider import Provider
from tests.transport.calling import KEY, MESSAGE, MESSAGES, STREAMED, only_report, stand_in
from tests.transport.serving import paced

EVENTS = [
    b'data: {"id":"chatcmpl-7","model":"gpt-4o-mini","choices":[{"index":0,"delta":{"content":"%d"}}]}\n\n' % index
    for index in range(20)
] + [
    b'data: {"id":"chatcmpl-7","choices":[],"usage":{"prompt_tokens":7,"completion_tokens":20,"total_tokens":27}}\n\n',
    b"data: [DONE]\n\n",
]
BODY = b"".join(EVENTS)


def test_each_chunk_arrives_before_the_next_one_is_sent(library: Any, settings: Settings, ledger_path: Path) -> None:
    instrument(settings)
    with (
        paced() as server,
        library.Client(timeout=10) as client,
        client.stream("POST", f"{server.url}/v1/chat/completions", json=STREAMED) as response,
    ):
        chunks = response.iter_raw()
        for event in EVENTS:
            server.send(event)
            assert next(chunks) == event
        server.send(None)
        assert list(chunks) == []
    assert only_report(ledger_path).output_tokens == 20


@pytest.mark.anyio
async def test_each_chunk_arrives_before_the_next_one_is_sent_async(
    library: Any, settings: Settings, ledger_path: Path
) -> None:
    instrument(settings)
    with paced() as server:
        async with (
            library.AsyncClient(timeout=10) as client,
            client.stream("POST", f"{server.url}/v1/chat/completions", json=STREAMED) as response,
        ):
            chunks = response.aiter_raw()
            for event in EVENTS:
                server.send(event)
                assert await anext(chunks) == event
            server.send(None)
            assert [chunk async for chunk in chunks] == []
    assert only_report(ledger_path).output_tokens == 20


def test_nothing_is_read_before_the_app_asks_for_it(library: Any, settings: Settings) -> None:
    instrument(settings)
    pulled = []

    class Source(library.SyncByteStream):  # type: ignore[misc]
        def __iter__(self) -> Iterator[bytes]:
            for event in EVENTS:
                pulled.append(event)
                yield event

    def answer(request: Any) -> Any:
        return library.Response(200, headers={"content-type": "text/event-stream"}, stream=Source())

    transport = PayiTransport(library.MockTransport(answer))
    with (
        library.Client(transport=transport) as client,
        client.stream("POST", "https://llm.example/v1/chat/completions", json=STREAMED) as response,
    ):
        assert pulled == []
        for count, chunk in enumerate(response.iter_raw(), start=1):
            assert (chunk, len(pulled)) == (EVENTS[count - 1], count)


@pytest.mark.anyio
async def test_nothing_is_read_before_the_app_asks_for_it_async(library: Any, settings: Settings) -> None:
    instrument(settings)
    pulled = []

    class Source(library.AsyncByteStream):  # type: ignore[misc]
        async def __aiter__(self) -> AsyncIterator[bytes]:
            for event in EVENTS:
                pulled.append(event)
                yield event

    def answer(request: Any) -> Any:
        return library.Response(200, headers={"content-type": "text/event-stream"}, stream=Source())

    transport = AsyncPayiTransport(library.MockTransport(answer))
    async with (
        library.AsyncClient(transport=transport) as client,
        client.stream("POST", "https://llm.example/v1/chat/completions", json=STREAMED) as response,
    ):
        assert pulled == []
        count = 0
        async for chunk in response.aiter_raw():
            count += 1
            assert (chunk, len(pulled)) == (EVENTS[count - 1], count)


def _zstd(body: bytes) -> bytes:
    return zstandard.ZstdCompressor().compress(body)


@pytest.mark.parametrize(
    ("encoding", "encode"),
    [
        ("identity", bytes),
        ("gzip", gzip.compress),
        ("deflate", zlib.compress),
        ("br", brotli.compress),
        ("zstd", _zstd),
        ("gzip, br", lambda body: brotli.compress(gzip.compress(body))),
    ],
)
def test_raw_bytes_are_the_servers_whatever_the_encoding(
    library: Any, settings: Settings, ledger_path: Path, encoding: str, encode: Callable[[bytes], bytes]
) -> None:
    instrument(settings)
    sent = encode(BODY)
    pieces = [sent[start:end] for start, end in pairwise([*range(0, len(sent), 37), len(sent)])]
    with (
        paced(content_encoding=encoding) as server,
        library.Client(timeout=10) as client,
        client.stream("POST", f"{server.url}/v1/chat/completions", json=STREAMED) as response,
    ):
        for piece in (*pieces, None):
            server.send(piece)
        assert response.headers["content-encoding"] == encoding
        assert b"".join(response.iter_raw()) == sent
    report = only_report(ledger_path)
    assert (report.provider_response_id, report.input_tokens, report.output_tokens) == ("chatcmpl-7", 7, 20)


@pytest.mark.parametrize("encoding", ["gzip", "br", "zstd"])
def test_the_app_decodes_a_compressed_body_as_without_us(
    library: Any, settings: Settings, ledger_path: Path, encoding: str
) -> None:
    encode = {"gzip": gzip.compress, "br": brotli.compress, "zstd": _zstd}[encoding]
    body = {"id": "chatcmpl-8", "model": "gpt-4o-mini", "usage": {"prompt_tokens": 3, "completion_tokens": 4}}

    def call() -> bytes:
        with paced("application/json", content_encoding=encoding) as server, library.Client(timeout=10) as client:
            server.send(encode(json.dumps(body).encode()))
            server.send(None)
            content = client.post(f"{server.url}/v1/chat/completions", json=STREAMED).content
            assert isinstance(content, bytes)
            return content

    without_us = call()
    instrument(settings)
    assert call() == without_us
    report = only_report(ledger_path)
    assert (report.provider_response_id, report.input_tokens, report.output_tokens) == ("chatcmpl-8", 3, 4)


@pytest.mark.parametrize("gzipped", [False, True])
def test_an_openai_stream_is_reported_at_its_last_event(
    provider: Provider, settings: Settings, ledger_path: Path, gzipped: bool
) -> None:
    instrument(settings)
    with (
        openai.OpenAI(base_url=provider.openai_url, api_key=KEY) as client,
        client.chat.completions.create(
            model="gpt-4o-mini",
            messages=MESSAGES,
            stream=True,
            stream_options={"include_usage": True},
            extra_headers=stand_in(chunks=4, gzip=gzipped),
        ) as stream,
    ):
        chunks = list(stream)
    report = only_report(ledger_path)
    assert chunks[-1].usage is not None
    assert (report.provider_response_id, report.output_tokens) == (chunks[0].id, chunks[-1].usage.completion_tokens)
    assert "system.stream" not in report.properties


def test_an_anthropic_stream_is_reported_at_its_last_event(
    provider: Provider, settings: Settings, ledger_path: Path
) -> None:
    instrument(settings)
    with (
        anthropic.Anthropic(base_url=provider.anthropic_url, api_key=KEY) as client,
        client.messages.stream(**MESSAGE, extra_headers=stand_in(chunks=4)) as stream,
    ):
        message = stream.get_final_message()
    report = only_report(ledger_path)
    assert (report.provider_response_id, report.output_tokens) == (message.id, message.usage.output_tokens)
    assert "system.stream" not in report.properties


def test_latencies_of_a_stream_are_present_and_in_order(
    provider: Provider, settings: Settings, ledger_path: Path
) -> None:
    instrument(settings)
    with openai.OpenAI(base_url=provider.openai_url, api_key=KEY) as client:
        list(
            client.chat.completions.create(
                model="gpt-4o-mini",
                messages=MESSAGES,
                stream=True,
                extra_headers=stand_in(latency=0.05, chunks=3, chunk_delay=0.02),
            )
        )
    report = only_report(ledger_path)
    assert report.time_to_first_token_ms is not None
    assert report.time_to_first_completion_token_ms is not None
    assert report.end_to_end_latency_ms is not None
    assert 50 <= report.time_to_first_token_ms <= report.time_to_first_completion_token_ms
    assert report.time_to_first_completion_token_ms + 40 <= report.end_to_end_latency_ms


def test_a_plain_answer_has_a_latency_and_no_first_token(
    provider: Provider, settings: Settings, ledger_path: Path
) -> None:
    instrument(settings)
    with openai.OpenAI(base_url=provider.openai_url, api_key=KEY) as client:
        client.chat.completions.create(model="gpt-4o-mini", messages=MESSAGES, extra_headers=stand_in(latency=0.05))
    report = only_report(ledger_path)
    assert report.end_to_end_latency_ms is not None
    assert report.end_to_end_latency_ms >= 50
    assert report.time_to_first_token_ms is None
