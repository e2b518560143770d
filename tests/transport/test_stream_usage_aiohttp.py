"""A stream by aiohttp that tells its usage only if asked: asked for it, and the app sees what it asked for itself."""

from __future__ import annotations

import asyncio
import gzip
import importlib
import json
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import aiohttp
import openai
import pytest
from aiohttp.abc import AbstractResolver

from payi_middleware import Settings, instrument, result_of, track_context
from payi_middleware.demo.provider import Provider
from tests.providers.speaking import Spoken, speaking
from tests.transport.calling import delivered, only_report, stand_in
from tests.transport.serving import paced
from tests.transport.test_aiohttp import READS, _chunks, _read
from tests.transport.test_streams import BODY, EVENTS

pytestmark = pytest.mark.anyio
PATH = "/v1/chat/completions"
SILENT: dict[str, Any] = {"model": "gpt-4o-mini", "messages": [{"role": "user", "content": "Zoë?"}], "stream": True}
ASKED = {**SILENT, "stream_options": {"include_usage": True}}
EXTRA = EVENTS[-2]
WANTED = b"".join([*EVENTS[:-2], EVENTS[-1]])


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"  # aiohttp knows no other


class Here(AbstractResolver):
    """Takes every host's name to be this machine's, as no provider can be reached from a test."""

    async def resolve(self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET) -> Any:
        return [{"hostname": host, "host": "127.0.0.1", "port": port, "family": socket.AF_INET, "proto": 0, "flags": 0}]

    async def close(self) -> None:
        pass


def session_here(**options: Any) -> aiohttp.ClientSession:
    return aiohttp.ClientSession(connector=aiohttp.TCPConnector(resolver=Here()), **options)


@pytest.fixture(name="session")
async def _session(settings: Settings) -> AsyncIterator[aiohttp.ClientSession]:
    async with session_here() as session:
        instrument(settings)
        yield session


def openais(url: str) -> str:
    """Return the address of a local server by the name of OpenAI's host."""
    return f"http://api.openai.com:{url.rpartition(':')[2]}{PATH}"


@pytest.mark.parametrize(
    "options",
    [
        {"json": SILENT},
        {"data": json.dumps(SILENT)},
        {"data": json.dumps(SILENT).encode()},
        {"data": bytearray(json.dumps(SILENT).encode())},
        {"data": aiohttp.JsonPayload(SILENT)},
        {"data": json.dumps(SILENT), "headers": {"Content-Length": str(len(json.dumps(SILENT)))}},
        {"json": SILENT, "headers": {"xProxy-User-ID": "alice"}},
        {"json": SILENT, "headers": stand_in(gzip=True)},
    ],
)
async def test_a_silent_stream_is_counted_and_the_app_sees_no_chunk_more(
    session: aiohttp.ClientSession, provider: Provider, ledger_path: Path, options: dict[str, Any]
) -> None:
    async with session.post(openais(provider.url), **options) as response:
        events = [line for line in (await response.read()).splitlines() if line]
    assert events[-1] == b"data: [DONE]"
    assert all(json.loads(event.removeprefix(b"data: "))["choices"] for event in events[:-1])
    report = only_report(ledger_path)
    assert report.input_tokens == 1
    assert report.output_tokens > 0
    assert provider.requests[0].body == ASKED


@pytest.mark.parametrize(
    "data", [{"json": SILENT}, {"data": json.dumps(SILENT)}, {"data": json.dumps(SILENT).encode()}]
)
async def test_all_else_of_the_request_stays_as_it_is(
    provider: Provider, settings: Settings, data: dict[str, Any]
) -> None:
    async def seen(session: aiohttp.ClientSession) -> dict[str, str]:
        async with session.post(openais(provider.url), headers={"x-once": "1"}, **data) as response:
            await response.read()
        return {name: value for name, value in provider.requests[-1].headers.items() if name != "content-length"}

    async with session_here(headers={"x-always": "1", "accept-encoding": "gzip"}, cookies={"c": "d"}) as session:
        bare = await seen(session)
        instrument(settings)
        assert await seen(session) == bare
    assert bare["accept-encoding"] == "gzip"
    assert provider.requests[-1].body == ASKED


@pytest.mark.parametrize("read", READS)
async def test_it_is_taken_out_however_the_app_reads(
    session: aiohttp.ClientSession, ledger_path: Path, read: Callable[[Any], Awaitable[bytes]]
) -> None:
    with paced() as server:
        for piece in [BODY[start : start + 333] for start in range(0, len(BODY), 333)]:
            server.send(piece)
        server.send(None)
        async with session.post(openais(server.url), json=SILENT) as response:
            assert isinstance(response.content, aiohttp.StreamReader)
            assert await read(response) == WANTED
            assert response.content.at_eof()
    report = only_report(ledger_path)
    assert (report.input_tokens, report.output_tokens) == (7, 20)
    assert "system.stream" not in report.properties


async def test_an_event_arrives_before_the_next_one_is_sent(session: aiohttp.ClientSession) -> None:
    with paced() as server:
        async with session.post(openais(server.url), json=SILENT) as response:
            for event in EVENTS[:-2]:
                server.send(event)
                assert await response.content.readany() == event
            server.send(EXTRA)
            server.send(EVENTS[-1])
            assert await response.content.readany() == EVENTS[-1]
            server.send(None)
            assert await response.content.readany() == b""


async def test_the_ends_of_the_servers_chunks_are_told(session: aiohttp.ClientSession) -> None:
    with paced() as server:
        for piece in (EVENTS[0], EVENTS[1][:9], EVENTS[1][9:], EXTRA, EVENTS[-1], None):
            server.send(piece)
        async with session.post(openais(server.url), json=SILENT) as response:
            chunks = [(bytes(chunk), ended) async for chunk, ended in response.content.iter_chunks() if chunk]
    assert [chunk for chunk, _ in chunks] == [EVENTS[0], EVENTS[1], EVENTS[-1]]
    assert all(ended for _, ended in chunks)


async def test_a_read_that_is_cancelled_loses_nothing(session: aiohttp.ClientSession, ledger_path: Path) -> None:
    with paced() as server:
        async with session.post(openais(server.url), json=SILENT) as response:
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(response.content.readline(), 0.05)
            server.send(BODY)
            server.send(None)
            assert await response.read() == WANTED
    assert only_report(ledger_path).output_tokens == 20


async def test_a_stream_that_breaks_off_fails_as_it_would_without_us(
    session: aiohttp.ClientSession, provider: Provider, ledger_path: Path
) -> None:
    async with session.post(openais(provider.url), json=SILENT, headers=stand_in(reset_after=2)) as response:
        with pytest.raises(aiohttp.ClientPayloadError):
            await response.read()
        assert isinstance(response.content.exception(), aiohttp.ClientPayloadError)
    assert only_report(ledger_path).properties["system.failure"] == "ClientPayloadError"


async def test_a_stream_that_is_left_early_is_reported(session: aiohttp.ClientSession, ledger_path: Path) -> None:
    with paced() as server:
        server.send(EVENTS[0])
        async with session.post(openais(server.url), json=SILENT) as response:
            assert await response.content.readany() == EVENTS[0]
        assert isinstance(response.content.exception(), aiohttp.ClientConnectionError)
        assert only_report(ledger_path).properties["system.usage.missing"] == "stream ended before usage"


async def test_inline_the_result_is_in_when_the_stream_has_been_read(
    session: aiohttp.ClientSession, provider: Provider
) -> None:
    with track_context(report="inline"):
        async with session.post(openais(provider.url), json=SILENT) as response:
            await response.read()
            assert result_of(response, timeout=0).cost is not None


async def test_a_stream_that_ends_within_an_event_loses_nothing(session: aiohttp.ClientSession) -> None:
    with speaking({f"{PATH}?stream": Spoken([EVENTS[0], EVENTS[1][:9]], "text/event-stream")}) as server:
        async with session.post(openais(server.url), json=SILENT) as response:
            assert await response.read() == EVENTS[0] + EVENTS[1][:9]


@pytest.mark.parametrize("encoding", ["gzip", "identity"])
async def test_a_stream_that_the_app_wants_raw_is_asked_for_as_it_is_and_decoded_if_it_comes_otherwise(
    settings: Settings, ledger_path: Path, encoding: str
) -> None:
    instrument(settings)
    sent = gzip.compress(BODY) if encoding == "gzip" else BODY
    answer = Spoken([sent[:50], sent[50:]], "text/event-stream", headers={"content-encoding": encoding, "x-a": "b"})
    with speaking({f"{PATH}?stream": answer}) as server:
        async with (
            session_here(auto_decompress=False) as session,
            session.post(openais(server.url), json=SILENT) as response,
        ):
            assert await response.read() == WANTED
    kept = encoding == "identity"
    assert (response.headers.get("content-encoding") is not None, response.headers["x-a"]) == (kept, "b")
    assert ("content-encoding" in {name.decode().lower() for name, _ in response.raw_headers}) is kept
    assert server.asked[0][1]["accept-encoding"] == "identity"
    assert only_report(ledger_path).output_tokens == 20


async def test_bytes_that_cannot_be_decoded_are_a_broken_body(settings: Settings) -> None:
    instrument(settings)
    answer = Spoken([BODY], "text/event-stream", headers={"content-encoding": "gzip"})
    with speaking({f"{PATH}?stream": answer}) as server:
        async with (
            session_here(auto_decompress=False) as session,
            session.post(openais(server.url), json=SILENT) as response,
        ):
            with pytest.raises(aiohttp.ClientPayloadError):
                await response.read()


async def test_an_unknown_encoding_passes_as_it_came(settings: Settings) -> None:
    instrument(settings)
    answer = Spoken([BODY], "text/event-stream", headers={"content-encoding": "dcb"})
    with speaking({f"{PATH}?stream": answer}) as server:
        async with (
            session_here(auto_decompress=False) as session,
            session.post(openais(server.url), json=SILENT) as response,
        ):
            assert (response.headers["content-encoding"], await response.read()) == ("dcb", BODY)


async def test_a_stream_that_was_read_before_the_app_gets_it_loses_the_chunk_too(
    session: aiohttp.ClientSession, ledger_path: Path
) -> None:
    async def read(response: aiohttp.ClientResponse) -> None:
        await response.read()

    with speaking({f"{PATH}?stream": Spoken([BODY], "text/event-stream")}) as server:
        response = await session.post(openais(server.url), json=SILENT, raise_for_status=read)
        assert await response.read() == WANTED
    assert only_report(ledger_path).output_tokens == 20


async def test_an_app_that_asks_itself_gets_its_chunk(session: aiohttp.ClientSession, ledger_path: Path) -> None:
    with speaking({f"{PATH}?stream": Spoken(EVENTS, "text/event-stream")}) as server:
        async with session.post(openais(server.url), json=ASKED) as response:
            assert await response.read() == BODY
    assert only_report(ledger_path).output_tokens == 20


async def _upload() -> AsyncIterator[bytes]:
    yield json.dumps(SILENT).encode()


@pytest.mark.parametrize("why", ["switched off", "another host", "signed", "signed by its session", "not in memory"])
async def test_otherwise_nothing_is_asked(why: str, provider: Provider, settings: Settings) -> None:
    instrument(settings.model_copy(update={"stream_usage": why != "switched off"}))
    url = f"{provider.url}{PATH}" if why == "another host" else openais(provider.url)
    signature = {"Authorization": "AWS4-HMAC-SHA256 Credential=x"}
    options: dict[str, Any] = {"data": _upload()} if why == "not in memory" else {"json": SILENT}
    async with (
        session_here(headers=signature if why == "signed by its session" else None) as session,
        session.post(url, headers=signature if why == "signed" else None, **options) as response,
    ):
        await _read(response)
    assert provider.requests[0].body == SILENT


@pytest.fixture(name="everybody_here")
def _everybody_here(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("aiohttp.connector.DefaultResolver", lambda **_: Here())


@pytest.mark.usefixtures("everybody_here")
@pytest.mark.parametrize("compressed", [False, True])
async def test_openai_on_aiohttp_is_asked_once_and_gives_the_app_what_it_asked_for(
    provider: Provider, settings: Settings, ledger_path: Path, compressed: bool
) -> None:
    instrument(settings)
    base = openais(provider.url).removesuffix("/chat/completions")
    async with openai.AsyncOpenAI(base_url=base, api_key="k", http_client=openai.DefaultAioHttpClient()) as client:
        asking: Any = client.chat.completions
        stream = await asking.create(**SILENT, extra_headers=stand_in(gzip=compressed))
        chunks = [chunk async for chunk in stream]
    assert all(chunk.choices and chunk.usage is None for chunk in chunks)
    assert provider.requests[0].body == ASKED
    assert provider.requests[0].headers["accept-encoding"] == "identity"
    assert only_report(ledger_path).input_tokens == 1
    assert delivered() == 1


@pytest.mark.usefixtures("everybody_here")
@pytest.mark.parametrize("encoding", ["gzip", "identity"])
async def test_a_transport_on_aiohttp_is_left_to_httpx(
    library: Any, settings: Settings, ledger_path: Path, encoding: str
) -> None:
    instrument(settings)
    package = {"httpx": "httpx_aiohttp", "httpx2": "httpx_aiohttp.httpx2"}[library.__name__]
    sent = gzip.compress(BODY) if encoding == "gzip" else BODY
    answer = Spoken([sent[:50], sent[50:]], "text/event-stream", headers={"content-encoding": encoding})
    with speaking({f"{PATH}?stream": answer}) as server:
        async with (
            library.AsyncClient(transport=importlib.import_module(package).AiohttpTransport()) as client,
            client.stream("POST", openais(server.url), json=SILENT) as response,
        ):
            assert b"".join([chunk async for chunk in response.aiter_bytes()]) == WANTED
    assert json.loads(server.asked[0][2]) == ASKED
    assert only_report(ledger_path).output_tokens == 20
    assert delivered() == 1


async def test_calls_beside_each_other_are_each_taken_what_was_added(
    session: aiohttp.ClientSession, provider: Provider
) -> None:
    async def ask(number: int) -> bytes:
        asked = SILENT if number % 2 else ASKED
        async with session.post(openais(provider.url), json=asked, headers=stand_in(latency=0.02)) as response:
            return await _chunks(response)

    for number, body in enumerate(await asyncio.gather(*map(ask, range(20)))):
        assert (b'"choices": []' in body or b'"choices":[]' in body) is (number % 2 == 0)
