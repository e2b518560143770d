"""Another model is asked where a limit runs out, whichever library makes the call and wherever it names its model."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from typing import Any

import aiohttp
import pytest
import requests
from google import genai

from payi_middleware import Settings, flush, instrument
from payi_middleware.demo.provider import Provider
from payi_middleware.service.ledger import Ledger
from tests.limits.calling import CALL, KEY
from tests.providers.gemini_server import GeminiServer
from tests.transport.bedrock import CONVERSED, MESSAGES, MODEL, client, serving, whole

CHEAPER = {"gpt-4o-mini": "gpt-4.1-nano", "google.gemini-2.5-pro": "gemini-2.5-flash", MODEL: "amazon.nova-micro-v1:0"}


@pytest.fixture(autouse=True)
def _spent(remote: Settings, ledger: Ledger, new_limit: Callable[..., str]) -> None:
    """A limit that is spent, and an app that has a cheaper model asked then."""
    new_limit("0.01")
    units = {"text": {"input": 0, "output": 20_000}}
    ledger.ingest({"category": "system.openai", "resource": "gpt-4o-mini", "units": units, "limit_ids": ["budget"]})
    changes = {"limit_ids": ("budget",), "on_limit": lambda state, limit, call: CHEAPER.get(call.resource)}
    instrument(remote.model_copy(update=changes))


def booked(ledger: Ledger) -> str | None:
    """Return the resource of the call that was made."""
    assert flush(10)
    return ledger.requests(limit=1)[0].resource


def test_requests_asks_the_cheaper_model(provider: Provider, ledger: Ledger) -> None:
    session = requests.Session()
    answer = session.post(f"{provider.openai_url}/chat/completions?a=b", json=CALL, timeout=30)
    session.close()

    assert (answer.status_code, answer.json()["model"][:12]) == (200, "gpt-4.1-nano")
    assert provider.requests[-1].body == {**CALL, "model": "gpt-4.1-nano"}
    assert booked(ledger) == "gpt-4.1-nano"


def test_aiohttp_asks_the_cheaper_model(provider: Provider, ledger: Ledger) -> None:
    async def ask() -> Any:
        async with (
            aiohttp.ClientSession() as session,
            session.post(f"{provider.openai_url}/chat/completions", json=CALL) as answer,
        ):
            return answer.status, await answer.json()

    status, told = asyncio.run(ask())

    assert (status, told["model"][:12]) == (200, "gpt-4.1-nano")
    assert provider.requests[-1].body == {**CALL, "model": "gpt-4.1-nano"}
    assert booked(ledger) == "gpt-4.1-nano"


@pytest.fixture
def gemini() -> Iterator[str]:
    """Where Gemini is served."""
    with (server := GeminiServer()).running():
        yield server.url


@pytest.mark.filterwarnings("ignore:Inheritance class:DeprecationWarning")  # the SDK derives from aiohttp's session
@pytest.mark.parametrize("asynchronous", [False, True], ids=["sync", "async"])
def test_a_model_that_the_path_names_is_changed_there(asynchronous: bool, gemini: str, ledger: Ledger) -> None:
    asking: dict[str, Any] = {"model": "gemini-2.5-pro", "contents": "Hi"}
    with genai.Client(api_key=KEY, http_options={"base_url": gemini}) as sdk:

        async def ask() -> str | None:
            async with sdk.aio as aio:
                answer = await aio.models.generate_content(**asking)
                return answer.text

        text = asyncio.run(ask()) if asynchronous else sdk.models.generate_content(**asking).text

    assert text
    assert booked(ledger) == "google.gemini-2.5-flash"


def test_a_signed_call_goes_out_as_it_is(caplog: pytest.LogCaptureFixture) -> None:
    with serving() as server:
        server.replies.append(whole(CONVERSED))
        client(server.url).converse(modelId=MODEL, messages=MESSAGES)

    assert "signed" in caplog.text
    assert "nova-lite" in server.asked[-1][0]
