"""An httpx client whose transport is made on aiohttp: both are metered, each call once."""

from __future__ import annotations

import asyncio
import importlib
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import openai
import pytest

from payi_middleware import AsyncPayiTransport, PayiMiddleware, Settings, instrument
from payi_middleware.demo.provider import Provider
from tests.transport.calling import CHAT, COMPLETION, KEY, STREAMED, delivered, only_report
from tests.transport.serving import unused_port

pytestmark = pytest.mark.anyio
PATH = "/v1/chat/completions"


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(name="transport")
async def _transport(library: Any) -> AsyncIterator[Any]:
    """httpx's transport on aiohttp, then httpx2's."""
    package = {"httpx": "httpx_aiohttp", "httpx2": "httpx_aiohttp.httpx2"}[library.__name__]
    async with importlib.import_module(package).AiohttpTransport() as transport:
        yield transport


@pytest.mark.parametrize("by_hand", [True, False])
async def test_a_call_is_counted_once(
    library: Any, transport: Any, provider: Provider, settings: Settings, ledger_path: Path, by_hand: bool
) -> None:
    instrument(settings)
    async with library.AsyncClient(transport=AsyncPayiTransport(transport) if by_hand else transport) as client:
        answer = (await client.post(f"{provider.openai_url}/chat/completions", json=CHAT)).json()
        assert only_report(ledger_path).provider_response_id == answer["id"]
        await client.post(f"{provider.openai_url}/chat/completions", json=CHAT)
    assert (delivered(), len(provider.requests)) == (2, 2)


async def test_streams_of_an_sdk_are_counted_once(provider: Provider, settings: Settings, ledger_path: Path) -> None:
    instrument(settings)
    async with openai.AsyncOpenAI(
        base_url=provider.openai_url, api_key=KEY, http_client=openai.DefaultAioHttpClient()
    ) as client:
        asking: Any = client.chat.completions
        assert [chunk async for chunk in await asking.create(**STREAMED)]
    assert only_report(ledger_path).output_tokens
    assert delivered() == 1


async def test_a_call_that_fails_is_counted_once(
    library: Any, transport: Any, settings: Settings, ledger_path: Path
) -> None:
    instrument(settings)
    async with library.AsyncClient(transport=transport) as client:
        with unused_port() as port, pytest.raises(library.TransportError) as raised:
            await client.post(f"http://127.0.0.1:{port}{PATH}", json=CHAT)
    assert only_report(ledger_path).properties["system.failure"] == type(raised.value).__name__
    assert delivered() == 1


async def test_aiohttps_own_calls_count_while_another_is_answered(
    library: Any, transport: Any, provider: Provider, settings: Settings
) -> None:
    """Nor does a call that has begun keep the tasks that it started from being counted."""
    instrument(settings)
    tasks = []

    class Starting(library.AsyncBaseTransport):  # type: ignore[misc]
        async def handle_async_request(self, request: Any) -> Any:
            tasks.append(asyncio.create_task(afterwards()))
            return await transport.handle_async_request(request)

    async def afterwards() -> None:
        await answered.wait()
        async with session.post(f"{provider.openai_url}/chat/completions", json=CHAT) as response:
            await response.read()

    answered = asyncio.Event()
    async with (
        aiohttp.ClientSession() as session,
        library.AsyncClient(transport=Starting()) as client,
        client.stream("POST", f"{provider.openai_url}/chat/completions", json=CHAT) as response,
    ):
        answered.set()
        await tasks[0]
        await response.aread()
    assert delivered() == 2


async def test_what_an_app_in_this_process_calls_to_answer_is_counted(
    library: Any, provider: Provider, settings: Settings
) -> None:
    async def gateway(scope: Any, receive: Any, send: Any) -> None:
        async with (
            aiohttp.ClientSession() as session,
            session.post(f"{provider.openai_url}/chat/completions", json=CHAT) as response,
        ):
            await response.read()
        headers = [(b"content-type", b"application/json")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": json.dumps(COMPLETION).encode()})

    instrument(settings)
    transport = library.ASGITransport(app=PayiMiddleware(gateway, settings=settings))
    async with library.AsyncClient(transport=transport, base_url="http://gateway") as client:
        assert (await client.post(PATH, json=CHAT)).json() == COMPLETION
    assert delivered() == 2
