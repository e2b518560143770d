"""A stream that tells its usage only if asked is asked for it, and the app sees what it asked for itself."""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Callable
from typing import Any

import brotli
import httpx2
import openai as openai_sdk
import pytest
import zstandard
from openai import AsyncOpenAI, OpenAI

from payi_middleware import Settings, flush, instrument
from payi_middleware.demo.provider import Provider
from payi_middleware.service.ledger import Ledger
from tests.providers.speaking import Spoken, speaking
from tests.transport.calling import stand_in
from tests.transport.test_streams import BODY, EVENTS

HELLO: Any = {"model": "gpt-4o-mini", "messages": [{"role": "user", "content": "one two three"}]}
PATH = "/v1/chat/completions"
WANTED = b"".join([*EVENTS[:-2], EVENTS[-1]])


class Detour(httpx2.HTTPTransport):
    """Takes what is meant for api.openai.com to the stand-in, as no provider can be reached from a test."""

    def __init__(self, port: int) -> None:
        super().__init__()
        self.port = port

    def handle_request(self, request: httpx2.Request) -> httpx2.Response:
        request.url = request.url.copy_with(scheme="http", host="127.0.0.1", port=self.port)
        return super().handle_request(request)


class AsyncDetour(httpx2.AsyncHTTPTransport):
    def __init__(self, port: int) -> None:
        super().__init__()
        self.port = port

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        request.url = request.url.copy_with(scheme="http", host="127.0.0.1", port=self.port)
        return await super().handle_async_request(request)


def client(provider: Provider) -> OpenAI:
    return OpenAI(api_key="k", http_client=httpx2.Client(transport=Detour(provider.port)))


def counted(settings: Settings) -> list[tuple[int, int]]:
    assert flush(10)
    with Ledger(settings.ledger) as ledger:
        return [(record.input_tokens, record.output_tokens) for record in ledger.requests()]


@pytest.mark.parametrize("compressed", [False, True])
def test_a_silent_stream_is_counted_and_the_app_sees_no_chunk_more(
    provider: Provider, settings: Settings, compressed: bool
) -> None:
    headers = stand_in(gzip=compressed)
    with client(provider) as openai:
        bare = list(openai.chat.completions.create(**HELLO, stream=True, extra_headers=headers))
        instrument(settings)
        metered = list(openai.chat.completions.create(**HELLO, stream=True, extra_headers=headers))
    assert [chunk.choices for chunk in metered] == [chunk.choices for chunk in bare]
    assert all(chunk.usage is None and chunk.choices for chunk in metered)
    ((tokens_in, tokens_out),) = counted(settings)
    assert tokens_in == 3
    assert tokens_out > 0
    assert provider.requests[-1].body == {**HELLO, "stream": True, "stream_options": {"include_usage": True}}


@pytest.mark.anyio
@pytest.mark.parametrize("anyio_backend", ["asyncio"])  # on trio the SDK leaves its own generators to the collector
@pytest.mark.parametrize("compressed", [False, True])
async def test_the_same_in_async_code(provider: Provider, settings: Settings, compressed: bool) -> None:
    instrument(settings)
    client = httpx2.AsyncClient(transport=AsyncDetour(provider.port))
    async with AsyncOpenAI(api_key="k", http_client=client) as openai:
        stream = await openai.chat.completions.create(**HELLO, stream=True, extra_headers=stand_in(gzip=compressed))
        chunks = [chunk async for chunk in stream]
    assert all(chunk.choices for chunk in chunks)
    assert [tokens_in for tokens_in, _ in counted(settings)] == [3]


@pytest.mark.parametrize("compressed", [False, True])
def test_an_app_that_asks_itself_gets_its_chunk(provider: Provider, settings: Settings, compressed: bool) -> None:
    instrument(settings)
    with client(provider) as openai:
        asked: Any = {**HELLO, "stream": True, "stream_options": {"include_usage": True}}
        chunks = list(openai.chat.completions.create(**asked, extra_headers=stand_in(gzip=compressed)))
    assert chunks[-1].usage is not None
    assert [tokens_in for tokens_in, _ in counted(settings)] == [3]


def test_the_apps_own_request_stays_as_it_was(provider: Provider, settings: Settings) -> None:
    instrument(settings)
    with client(provider) as openai:
        raw = openai.chat.completions.with_raw_response.create(**HELLO, stream=True)
        list(raw.parse())
    assert b"stream_options" not in raw.http_request.content
    assert int(raw.http_request.headers["content-length"]) == len(raw.http_request.content)


@pytest.mark.parametrize("why", ["switched off", "another host", "signed"])
def test_otherwise_nothing_is_asked(why: str, provider: Provider, settings: Settings) -> None:
    instrument(settings.model_copy(update={"stream_usage": why != "switched off"}))
    openai = OpenAI(api_key="k", base_url=provider.openai_url) if why == "another host" else client(provider)
    signature = {"x-amz-content-sha256": "x"} if why == "signed" else {}
    with openai:
        list(openai.chat.completions.create(**HELLO, stream=True, extra_headers=signature))
    assert provider.requests[-1].body == {**HELLO, "stream": True}
    assert counted(settings) == [(0, 0)]


def zstd(raw: bytes) -> bytes:
    return zstandard.ZstdCompressor().compress(raw)


def compressed_stream(encoding: str, encode: Callable[[bytes], bytes]) -> dict[str, Spoken]:
    sent = encode(BODY)
    headers = {"content-encoding": encoding, "content-length": str(len(sent))}
    return {f"{PATH}?stream": Spoken([sent[:40], sent[40:]], "text/event-stream", headers=headers)}


@pytest.mark.parametrize(
    ("encoding", "encode"),
    [("deflate", zlib.compress), ("br", brotli.compress), ("zstd", zstd), ("gzip", gzip.compress)],
)
def test_a_host_that_compresses_all_the_same_is_decoded(
    settings: Settings, encoding: str, encode: Callable[[bytes], bytes]
) -> None:
    instrument(settings)
    with (
        speaking(compressed_stream(encoding, encode)) as server,
        httpx2.Client(transport=Detour(int(server.url.rpartition(":")[2]))) as http,
        http.stream("POST", f"https://api.openai.com{PATH}", json={**HELLO, "stream": True}) as response,
    ):
        assert response.headers.get("content-encoding") is None
        assert response.headers.get("content-length") is None
        assert b"".join(response.iter_raw()) == WANTED
    assert server.asked[0][1]["accept-encoding"] == "identity"
    assert counted(settings) == [(7, 20)]


def test_a_stream_that_ends_within_an_event_loses_nothing(settings: Settings) -> None:
    instrument(settings)
    with (
        speaking({f"{PATH}?stream": Spoken([EVENTS[0], EVENTS[1][:9]], "text/event-stream")}) as server,
        httpx2.Client(transport=Detour(int(server.url.rpartition(":")[2]))) as http,
    ):
        response = http.post(f"https://api.openai.com{PATH}", json={**HELLO, "stream": True})
        assert response.content == EVENTS[0] + EVENTS[1][:9]


def test_an_encoding_that_nobody_knows_passes_as_it_came(settings: Settings) -> None:
    instrument(settings)
    with (
        speaking(compressed_stream("dcb", bytes)) as server,
        httpx2.Client(transport=Detour(int(server.url.rpartition(":")[2]))) as http,
        http.stream("POST", f"https://api.openai.com{PATH}", json={**HELLO, "stream": True}) as response,
    ):
        assert response.headers["content-encoding"] == "dcb"
        assert b"".join(response.iter_raw()) == BODY
    assert counted(settings) == [(0, 0)]


@pytest.mark.parametrize("metered", [False, True])
def test_what_is_not_compressed_as_it_says_fails_as_it_would_without_us(settings: Settings, metered: bool) -> None:
    if metered:
        instrument(settings)
    with speaking(compressed_stream("gzip", bytes)) as server:
        http = httpx2.Client(transport=Detour(int(server.url.rpartition(":")[2])))
        with OpenAI(api_key="k", http_client=http, max_retries=0) as openai:
            stream = openai.chat.completions.create(**HELLO, stream=True)
            with pytest.raises((httpx2.DecodingError, openai_sdk.APIConnectionError)) as raised:
                list(stream)
    assert "DecodingError" in (type(raised.value).__name__, type(raised.value.__cause__).__name__)


def test_an_answer_that_a_mock_gives_at_once_loses_the_chunk_too(settings: Settings) -> None:
    def answer(request: httpx2.Request) -> httpx2.Response:
        return httpx2.Response(200, headers={"content-type": "text/event-stream"}, content=BODY)

    instrument(settings)
    with OpenAI(api_key="k", http_client=httpx2.Client(transport=httpx2.MockTransport(answer))) as openai:
        assert all(chunk.choices for chunk in openai.chat.completions.create(**HELLO, stream=True))
    assert counted(settings) == [(7, 20)]
