"""Provider calls made with aiohttp's client, metered by `instrument()`."""

from __future__ import annotations

import asyncio
import gc
import gzip
import io
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp.client import ClientSession
from yarl import URL

from payi_middleware import Settings, aresult_of, instrument, result_of, track_context, uninstrument
from payi_middleware.demo.provider import Provider
from tests.transport.calling import CHAT, COMPLETION, STREAMED, delivered, only_report, reports, stand_in
from tests.transport.serving import Paced, paced, serve, unused_port
from tests.transport.test_streams import BODY, EVENTS

pytestmark = pytest.mark.anyio
HEADERS = {"authorization": "Bearer sk-secret-of-the-app"}
PATH = "/v1/chat/completions"


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"  # aiohttp knows no other


@pytest.fixture(name="session")
async def _session(settings: Settings) -> AsyncIterator[ClientSession]:
    """A session that is older than the instrumentation."""
    async with ClientSession(headers=HEADERS) as session:
        instrument(settings)
        yield session


def chat_url(provider: Provider) -> str:
    return f"{provider.openai_url}/chat/completions"


async def test_a_call_is_metered(session: ClientSession, provider: Provider, ledger_path: Path) -> None:
    async with session.post(chat_url(provider), json=CHAT) as response:
        answer = await response.json()
    report = only_report(ledger_path)
    assert (report.category, report.resource) == ("system.openai", CHAT["model"])
    assert report.provider_response_id == answer["id"]
    assert (report.input_tokens, report.http_status_code) == (answer["usage"]["prompt_tokens"], 200)
    assert report.cost > 0
    assert provider.requests[0].body == CHAT


async def _read(response: Any) -> bytes:
    return bytes(await response.read())


async def _text(response: Any) -> bytes:
    return str(await response.text()).encode()


async def _any(response: Any) -> bytes:
    return b"".join([chunk async for chunk in response.content.iter_any()])


async def _chunked(response: Any) -> bytes:
    return b"".join([chunk async for chunk in response.content.iter_chunked(100)])


async def _chunks(response: Any) -> bytes:
    return b"".join([chunk async for chunk, _ in response.content.iter_chunks()])


async def _lines(response: Any) -> bytes:
    return b"".join([line async for line in response.content])


async def _readany(response: Any) -> bytes:
    got = b""
    while not response.content.at_eof():
        got += await response.content.readany()
    return got


async def _until(response: Any) -> bytes:
    got = b""
    while event := await response.content.readuntil(b"\n\n"):
        got += event
    return got


async def _exactly(response: Any) -> bytes:
    got = b""
    try:
        while True:
            got += await response.content.readexactly(1000)
    except asyncio.IncompleteReadError as rest:
        return got + rest.partial


async def _nowait(response: Any) -> bytes:
    got: bytes = await response.content.readany()
    while not response.content.at_eof():
        got += response.content.read_nowait(7) or await response.content.read(1)
    return got


READS = [_read, _text, _any, _chunked, _chunks, _lines, _readany, _until, _exactly, _nowait]


@pytest.mark.parametrize("read", READS)
async def test_a_stream_is_metered_however_the_app_reads_it(
    session: ClientSession, ledger_path: Path, read: Callable[[Any], Awaitable[bytes]]
) -> None:
    with paced() as server:
        for piece in [BODY[start : start + 333] for start in range(0, len(BODY), 333)]:
            server.send(piece)
        server.send(None)
        async with session.post(server.url + PATH, json=STREAMED) as response:
            assert await read(response) == BODY
    report = only_report(ledger_path)
    assert (report.input_tokens, report.output_tokens, report.provider_response_id) == (7, 20, "chatcmpl-7")
    assert "system.stream" not in report.properties


@pytest.mark.parametrize("read", READS)
async def test_a_compressed_body_is_metered_as_aiohttp_decompresses_it(
    session: ClientSession, ledger_path: Path, read: Callable[[Any], Awaitable[bytes]]
) -> None:
    sent = gzip.compress(BODY)
    with paced(content_encoding="gzip") as server:
        server.send(sent[:50])
        server.send(sent[50:])
        server.send(None)
        async with session.post(server.url + PATH, json=STREAMED) as response:
            assert await read(response) == BODY
    assert only_report(ledger_path).output_tokens == 20


@pytest.mark.parametrize("for_all", [True, False])
async def test_a_compressed_body_that_the_app_wants_raw_is_metered(
    settings: Settings, ledger_path: Path, for_all: bool
) -> None:
    instrument(settings)
    sent = gzip.compress(BODY)
    option: dict[str, Any] = {} if for_all else {"auto_decompress": False}
    with paced(content_encoding="gzip") as server:
        server.send(sent)
        server.send(None)
        async with (
            ClientSession(auto_decompress=not for_all) as session,
            session.post(server.url + PATH, json=STREAMED, **option) as response,
        ):
            assert await response.read() == sent
    assert only_report(ledger_path).output_tokens == 20


async def test_each_chunk_arrives_before_the_next_one_is_sent(session: ClientSession, ledger_path: Path) -> None:
    with paced() as server:
        async with session.post(server.url + PATH, json=STREAMED) as response:
            for event in EVENTS:
                server.send(event)
                assert await response.content.readany() == event
            server.send(None)
            assert await response.content.readany() == b""
    assert only_report(ledger_path).time_to_first_token_ms is not None


@pytest.mark.parametrize(
    "options",
    [
        {"json": CHAT},
        {"data": json.dumps(CHAT)},
        {"data": json.dumps(CHAT).encode()},
        {"data": bytearray(json.dumps(CHAT).encode())},
        {"data": aiohttp.JsonPayload(CHAT)},
    ],
)
async def test_a_body_in_memory_is_read_and_arrives_unchanged(
    session: ClientSession, provider: Provider, ledger_path: Path, options: dict[str, Any]
) -> None:
    async with session.post(
        chat_url(provider), headers={**stand_in(status=500), "content-type": "application/json"}, **options
    ) as response:
        await response.read()
    report = only_report(ledger_path)
    assert (report.resource, report.http_status_code, report.failed) == (CHAT["model"], 500, True)
    assert provider.requests[0].body == CHAT


async def test_the_sessions_own_json_is_written_once(provider: Provider, settings: Settings, ledger_path: Path) -> None:
    written = []

    def dumps(content: Any) -> str:
        written.append(content)
        return json.dumps({**content, "model": "gpt-4o"})

    instrument(settings)
    async with (
        ClientSession(json_serialize=dumps) as session,
        session.post(chat_url(provider), json=CHAT) as response,
    ):
        await response.read()
    assert written == [CHAT]
    assert provider.requests[0].body == {**CHAT, "model": "gpt-4o"}
    assert only_report(ledger_path).resource == "gpt-4o"


async def _transcribe(scope: Any, receive: Any, send: Any) -> None:
    while (await receive()).get("more_body"):
        pass
    body = json.dumps({"text": "Oslo", "usage": {"type": "duration", "seconds": 60}}).encode()
    headers = [(b"content-type", b"application/json")]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": body})


@pytest.mark.parametrize("made", [dict, aiohttp.FormData])
async def test_a_forms_fields_are_read_without_its_files(
    session: ClientSession, ledger_path: Path, made: Callable[[Any], Any]
) -> None:
    form = made({"model": "whisper-1", "file": io.BytesIO(b"sound")})
    with serve(_transcribe) as url:
        async with session.post(f"{url}/v1/audio/transcriptions", data=form) as response:
            assert (await response.json())["text"] == "Oslo"
    assert only_report(ledger_path).resource == "whisper-1"


async def test_an_upload_that_is_read_while_it_is_sent_is_metered(
    session: ClientSession, provider: Provider, ledger_path: Path
) -> None:
    async def upload() -> AsyncIterator[bytes]:
        yield json.dumps(CHAT).encode()

    async with session.post(
        chat_url(provider), data=upload(), headers={"content-type": "application/json"}
    ) as response:
        answer = await response.json()
    assert only_report(ledger_path).provider_response_id == answer["id"]


@pytest.mark.parametrize("in_session", [True, False])
@pytest.mark.parametrize("headers", [dict, lambda given: list(given.items())])
async def test_headers_that_annotate_a_call_never_reach_the_provider(
    provider: Provider, settings: Settings, ledger_path: Path, in_session: bool, headers: Callable[[Any], Any]
) -> None:
    instrument(settings)
    own = {"xProxy-User-ID": "alice", "XPROXY-REQUEST-TAGS": "a, b"}
    always = {"x-always": "1", **(own if in_session else {"xproxy-user-id": "session"})}
    async with (
        ClientSession(headers=headers(always)) as session,
        session.post(
            chat_url(provider), json=CHAT, headers=headers({"x-once": "1", **({} if in_session else own)})
        ) as response,
    ):
        await response.read()
    report = only_report(ledger_path)
    assert (report.user_id, report.request_tags) == ("alice", ["a", "b"])
    sent = {name.lower(): value for name, value in provider.requests[0].headers.items()}
    assert not [name for name in sent if name.startswith("xproxy-")]
    assert (sent["x-always"], sent["x-once"]) == ("1", "1")
    assert sent["content-type"] == "application/json"


async def test_relative_urls_and_url_objects_are_metered(
    provider: Provider, settings: Settings, ledger_path: Path
) -> None:
    instrument(settings)
    async with ClientSession(base_url=f"{provider.openai_url}/") as session:
        await (await session.post("chat/completions", json=CHAT)).read()
    async with ClientSession() as session:
        await (await session.post(URL(chat_url(provider)), json=CHAT)).read()
    assert [report.exchange["provider_uri"] for report in reports(ledger_path)] == [chat_url(provider)] * 2


async def test_other_calls_pass_untouched(session: ClientSession, provider: Provider, ledger_path: Path) -> None:
    async with session.get(f"{provider.openai_url}/models") as response:
        await response.read()
        assert type(response.content) is aiohttp.StreamReader
    assert reports(ledger_path) == []
    with pytest.raises(LookupError):
        result_of(response)


async def test_an_error_status_is_reported(session: ClientSession, provider: Provider, ledger_path: Path) -> None:
    with pytest.raises(aiohttp.ClientResponseError):
        async with session.post(chat_url(provider), json=CHAT, headers=stand_in(status=429)) as response:
            response.raise_for_status()
    report = only_report(ledger_path)
    assert (report.http_status_code, report.failed, report.resource) == (429, True, CHAT["model"])


async def test_an_answer_that_aiohttp_makes_an_exception_of_is_reported_with_its_status(
    session: ClientSession, provider: Provider, ledger_path: Path
) -> None:
    with pytest.raises(aiohttp.ClientResponseError) as raised:
        await session.post(chat_url(provider), json=CHAT, headers=stand_in(status=503), raise_for_status=True)
    assert raised.value.status == 503
    report = only_report(ledger_path)
    assert (report.http_status_code, report.failed) == (503, True)


async def test_a_body_that_was_read_before_the_app_gets_the_response_is_metered(
    session: ClientSession, provider: Provider, ledger_path: Path
) -> None:
    async def read(response: aiohttp.ClientResponse) -> None:
        await response.read()

    response = await session.post(chat_url(provider), json=CHAT, raise_for_status=read)
    assert only_report(ledger_path).provider_response_id == (await response.json())["id"]


async def test_a_call_that_never_connects_is_reported_and_raises_as_without_us(
    session: ClientSession, ledger_path: Path
) -> None:
    with unused_port() as port, pytest.raises(aiohttp.ClientConnectorError) as raised:
        await session.post(f"http://127.0.0.1:{port}{PATH}", json=CHAT)
    assert isinstance(raised.value.os_error, ConnectionRefusedError)
    report = only_report(ledger_path)
    assert (report.failed, report.properties["system.failure"]) == (True, "ClientConnectorError")


async def test_what_aiohttp_refuses_to_send_is_no_call(session: ClientSession, ledger_path: Path) -> None:
    url = f"https://api.openai.com{PATH}"
    with pytest.raises(ValueError, match="same time"):
        await session.post(url, json=CHAT, data=b"{}")
    with pytest.raises(TypeError, match="serializable"):
        await session.post(url, json={"model": object()})
    await session.close()
    with pytest.raises(RuntimeError, match="closed"):
        await session.post(url, json=CHAT)
    assert reports(ledger_path) == []


@pytest.mark.parametrize("read", [_read, _any, _lines])
async def test_a_broken_stream_is_reported_as_failed(
    session: ClientSession, provider: Provider, ledger_path: Path, read: Callable[[Any], Awaitable[bytes]]
) -> None:
    with pytest.raises(aiohttp.ClientPayloadError):
        async with session.post(chat_url(provider), json=STREAMED, headers=stand_in(reset_after=2)) as response:
            await read(response)
    report = only_report(ledger_path)
    assert (report.failed, report.properties["system.failure"]) == (True, "ClientPayloadError")


async def test_a_stream_that_takes_too_long_is_reported_as_failed(session: ClientSession, ledger_path: Path) -> None:
    with paced() as server:
        server.send(EVENTS[0])
        timeout = aiohttp.ClientTimeout(sock_read=0.2)
        async with session.post(server.url + PATH, json=STREAMED, timeout=timeout) as response:
            with pytest.raises(TimeoutError) as raised:
                await response.read()
    assert only_report(ledger_path).properties["system.failure"] == type(raised.value).__name__


async def _leave(session: ClientSession, server: Paced) -> None:
    async with session.post(server.url + PATH, json=STREAMED) as response:
        assert await response.content.readany() == EVENTS[0]


async def _close(session: ClientSession, server: Paced) -> None:
    response = await session.post(server.url + PATH, json=STREAMED)
    assert await response.content.readany() == EVENTS[0]
    response.close()
    response.close()


async def _cancel(session: ClientSession, server: Paced) -> None:
    response = await session.post(server.url + PATH, json=STREAMED)
    assert await response.content.readany() == EVENTS[0]
    reading = asyncio.create_task(response.read())
    await asyncio.sleep(0)
    reading.cancel()
    with suppress(asyncio.CancelledError):
        await reading


async def _forget(session: ClientSession, server: Paced) -> None:
    response = await session.post(server.url + PATH, json=STREAMED)
    assert await response.content.readany() == EVENTS[0]
    del response
    server.send(None)
    server.left.wait(10)
    await session.close()  # until then, the connection holds a response that is not at its end
    gc.collect()


@pytest.mark.filterwarnings("ignore:Unclosed connection:ResourceWarning")  # as aiohttp rightly says
@pytest.mark.parametrize("abandon", [_leave, _close, _cancel, _forget])
async def test_an_abandoned_stream_is_reported_once(
    session: ClientSession, ledger_path: Path, abandon: Callable[[ClientSession, Paced], Awaitable[None]]
) -> None:
    with paced() as server:
        server.send(EVENTS[0])
        await abandon(session, server)
        gc.collect()
        report = only_report(ledger_path)
    assert "system.stream" in report.properties
    assert report.provider_response_id == "chatcmpl-7"
    assert delivered() == 1


async def test_a_read_that_times_out_for_the_app_does_not_end_the_stream(
    session: ClientSession, ledger_path: Path
) -> None:
    with paced() as server:
        async with session.post(server.url + PATH, json=STREAMED) as response:
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(response.content.readline(), 0.05)
            server.send(BODY)
            server.send(None)
            assert await response.read() == BODY
    assert only_report(ledger_path).output_tokens == 20


async def test_a_call_that_is_cancelled_before_it_is_answered_is_reported(
    session: ClientSession, ledger_path: Path
) -> None:
    async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        asked.set()
        await reader.read()
        writer.close()

    asked = asyncio.Event()
    server = await asyncio.start_server(silent, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    calling = asyncio.create_task(session.post(f"http://127.0.0.1:{port}{PATH}", json=CHAT).__aenter__())
    await asked.wait()
    calling.cancel()
    with pytest.raises(asyncio.CancelledError):
        await calling
    server.close()
    assert only_report(ledger_path).properties["system.failure"] == "CancelledError"


async def test_a_redirect_is_one_call(session: ClientSession, ledger_path: Path) -> None:
    async def answer(scope: Any, receive: Any, send: Any) -> None:
        moved = scope["path"].startswith("/old")
        headers = [(b"location", PATH.encode())] if moved else [(b"content-type", b"application/json")]
        await send({"type": "http.response.start", "status": 307 if moved else 200, "headers": headers})
        await send({"type": "http.response.body", "body": b"" if moved else json.dumps(COMPLETION).encode()})

    with serve(answer) as url:
        async with session.post(f"{url}/old{PATH}", json=CHAT) as response:
            assert await response.json() == COMPLETION
        async with session.post(f"{url}/old{PATH}", json=CHAT, allow_redirects=False) as response:
            assert response.status == 307
    assert only_report(ledger_path).provider_response_id == "chatcmpl-1"


async def test_the_result_is_found_by_the_response(session: ClientSession, provider: Provider) -> None:
    async with session.post(chat_url(provider), json=CHAT) as response:
        await response.read()
    assert (await aresult_of(response, timeout=10)).cost is not None


@pytest.mark.parametrize("streamed", [True, False])
async def test_inline_the_result_is_in_when_the_body_has_been_read(
    session: ClientSession, provider: Provider, streamed: bool
) -> None:
    with track_context(report="inline"):
        async with session.post(chat_url(provider), json=STREAMED if streamed else CHAT) as response:
            await response.read()
            assert result_of(response, timeout=0).cost is not None


async def test_overlapping_calls_are_each_attributed_to_their_own_user(
    session: ClientSession, provider: Provider, ledger_path: Path
) -> None:
    async def ask(number: int) -> str:
        with track_context(user_id=f"user{number}"):
            async with session.post(
                chat_url(provider), json=STREAMED if number % 2 else CHAT, headers=stand_in(latency=0.05)
            ) as response:
                text = await response.text()
                return str(json.loads(text.removeprefix("data: ").partition("\n")[0])["id"])

    ids = await asyncio.gather(*map(ask, range(50)))
    found = {report.provider_response_id: report.user_id for report in reports(ledger_path)}
    assert found == {each: f"user{number}" for number, each in enumerate(ids)}


async def test_uninstrument_takes_it_back(session: ClientSession, provider: Provider, ledger_path: Path) -> None:
    seam = ClientSession._request
    uninstrument()
    assert ClientSession._request is not seam
    async with session.post(chat_url(provider), json=CHAT) as response:
        assert await response.read()
    assert reports(ledger_path) == []
