"""A stream that tells its usage only if asked is asked for it, and the app sees what it asked for itself."""

from __future__ import annotations

from typing import Any

import httpx2
import pytest
from openai import AsyncOpenAI, OpenAI

from payi_middleware import Settings, flush, instrument
from payi_middleware.demo.provider import Provider
from payi_middleware.service.ledger import Ledger

HELLO: Any = {"model": "gpt-4o-mini", "messages": [{"role": "user", "content": "one two three"}]}


class Detour(httpx2.HTTPTransport):
    """Takes what is meant for api.openai.com to the stand-in, as no provider can be reached from a test."""

    def __init__(self, provider: Provider) -> None:
        super().__init__()
        self.port = provider.port

    def handle_request(self, request: httpx2.Request) -> httpx2.Response:
        request.url = request.url.copy_with(scheme="http", host="127.0.0.1", port=self.port)
        return super().handle_request(request)


class AsyncDetour(httpx2.AsyncHTTPTransport):
    def __init__(self, provider: Provider) -> None:
        super().__init__()
        self.port = provider.port

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        request.url = request.url.copy_with(scheme="http", host="127.0.0.1", port=self.port)
        return await super().handle_async_request(request)


def client(provider: Provider) -> OpenAI:
    return OpenAI(api_key="k", http_client=httpx2.Client(transport=Detour(provider)))


def counted(settings: Settings) -> list[tuple[int, int]]:
    assert flush(10)
    with Ledger(settings.ledger) as ledger:
        return [(record.input_tokens, record.output_tokens) for record in ledger.requests()]


def test_a_silent_stream_is_counted_and_the_app_sees_no_chunk_more(provider: Provider, settings: Settings) -> None:
    with client(provider) as openai:
        bare = list(openai.chat.completions.create(**HELLO, stream=True))
        instrument(settings)
        metered = list(openai.chat.completions.create(**HELLO, stream=True))
    assert [chunk.choices for chunk in metered] == [chunk.choices for chunk in bare]
    assert all(chunk.usage is None and chunk.choices for chunk in metered)
    ((tokens_in, tokens_out),) = counted(settings)
    assert tokens_in == 3
    assert tokens_out > 0
    assert provider.requests[-1].body == {**HELLO, "stream": True, "stream_options": {"include_usage": True}}


@pytest.mark.anyio
@pytest.mark.parametrize("anyio_backend", ["asyncio"])  # on trio the SDK leaves its own generators to the collector
async def test_the_same_in_async_code(provider: Provider, settings: Settings) -> None:
    instrument(settings)
    async with AsyncOpenAI(api_key="k", http_client=httpx2.AsyncClient(transport=AsyncDetour(provider))) as openai:
        chunks = [chunk async for chunk in await openai.chat.completions.create(**HELLO, stream=True)]
    assert all(chunk.choices for chunk in chunks)
    assert [tokens_in for tokens_in, _ in counted(settings)] == [3]


def test_an_app_that_asks_itself_gets_its_chunk(provider: Provider, settings: Settings) -> None:
    instrument(settings)
    with client(provider) as openai:
        chunks = list(openai.chat.completions.create(**HELLO, stream=True, stream_options={"include_usage": True}))
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
