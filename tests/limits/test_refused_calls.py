"""A call that its limits refuse never reaches the provider, and each SDK raises an error of its own that it does not
try again."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import aiohttp
import anthropic
import botocore.exceptions
import httpx
import httpx2
import openai
import pytest
import requests
from google import genai
from google.genai.errors import ClientError

from payi_middleware import Settings, flush, get_context, instrument, track_context
from payi_middleware.demo.provider import Provider
from payi_middleware.service.ledger import Ledger
from tests.limits.calling import CALL, KEY
from tests.providers.gemini_server import GeminiServer
from tests.transport.bedrock import MESSAGES as BEDROCK_MESSAGES
from tests.transport.bedrock import MODEL, client, serving

NewLimit = Callable[..., str]
Ask = Callable[[str], Any]


@pytest.fixture(autouse=True)
def _spent(remote: Settings, ledger: Ledger, new_limit: NewLimit) -> None:
    """A limit that is spent, named by every call."""
    new_limit("0.01")
    ledger.ingest(
        {
            "category": "system.openai",
            "resource": "gpt-4o-mini",
            "units": {"text": {"input": 0, "output": 20_000}},
            "limit_ids": ["budget"],
        }
    )
    instrument(remote.model_copy(update={"limit_ids": ("budget",)}))


def openai_sync(url: str) -> None:
    with openai.OpenAI(api_key=KEY, base_url=f"{url}/v1") as sdk:
        sdk.chat.completions.create(**CALL)


def openai_async(url: str) -> None:
    async def ask() -> None:
        async with openai.AsyncOpenAI(api_key=KEY, base_url=f"{url}/v1") as sdk:
            await sdk.chat.completions.create(**CALL)

    asyncio.run(ask())


def openai_streamed(url: str) -> None:
    with openai.OpenAI(api_key=KEY, base_url=f"{url}/v1") as sdk:
        list(sdk.chat.completions.create(**CALL, stream=True))


def anthropic_sync(url: str) -> None:
    with anthropic.Anthropic(api_key=KEY, base_url=url) as sdk:
        sdk.messages.create(model="claude-haiku-4-5", max_tokens=10, messages=[{"role": "user", "content": "Hi"}])


SDKS: dict[str, tuple[Ask, type[Exception]]] = {
    "openai": (openai_sync, openai.BadRequestError),
    "openai async": (openai_async, openai.BadRequestError),
    "openai streamed": (openai_streamed, openai.BadRequestError),
    "anthropic": (anthropic_sync, anthropic.BadRequestError),
}


@pytest.mark.parametrize("sdk", SDKS)
def test_an_sdk_raises_its_own_error_and_asks_nobody(sdk: str, provider: Provider) -> None:
    ask, error = SDKS[sdk]

    with pytest.raises(error, match="limit budget is reached") as raised:
        ask(provider.url)

    told: Any = raised.value
    assert told.response.status_code == 400
    body = told.response.json()
    assert body["xproxy_error"]["code"] == "limit_reached"
    assert body["xproxy_result"]["blocked_limit_ids"] == ["budget"]
    assert provider.requests == []


def test_boto3_raises_its_own_error_and_asks_nobody() -> None:
    with serving() as server, pytest.raises(botocore.exceptions.ClientError) as raised:
        client(server.url, attempts=3).converse(modelId=MODEL, messages=BEDROCK_MESSAGES)

    assert raised.value.response["Error"]["Code"] == "limit_reached"
    assert raised.value.response["ResponseMetadata"]["HTTPStatusCode"] == 400
    assert raised.value.response["ResponseMetadata"]["RetryAttempts"] == 0
    assert server.asked == []


@pytest.mark.filterwarnings("ignore:Inheritance class:DeprecationWarning")  # the SDK derives from aiohttp's session
@pytest.mark.parametrize("asynchronous", [False, True], ids=["sync", "async"])
def test_google_genai_raises_its_own_error_and_asks_nobody(asynchronous: bool) -> None:
    server = GeminiServer()
    with server.running():
        sdk = genai.Client(api_key=KEY, http_options={"base_url": server.url})

        def ask() -> object:
            asking: dict[str, Any] = {"model": "gemini-2.5-flash", "contents": "Hi"}
            if asynchronous:
                return asyncio.run(sdk.aio.models.generate_content(**asking))
            return sdk.models.generate_content(**asking)

        with pytest.raises(ClientError, match="limit budget is reached") as raised:
            ask()

    assert raised.value.code == 400
    assert server.ids == []


@pytest.mark.parametrize("library", [httpx, httpx2], ids=["httpx", "httpx2"])
def test_a_plain_client_gets_a_plain_answer(library: Any, provider: Provider) -> None:
    answer = library.post(f"{provider.openai_url}/chat/completions", json=CALL)

    assert (answer.status_code, answer.json()["statusCode"]) == (400, 400)
    assert answer.json()["xproxy_result"]["limits"] == {"budget": {"state": "blocked"}}
    assert provider.requests == []


def test_requests_gets_a_plain_answer(provider: Provider) -> None:
    answer = requests.post(f"{provider.openai_url}/chat/completions", json=CALL, timeout=30)

    assert (answer.status_code, answer.reason) == (400, "Bad Request")
    assert answer.json()["xproxy_error"]["code"] == "limit_reached"
    assert provider.requests == []


def test_aiohttp_gets_a_plain_answer(provider: Provider) -> None:
    async def ask() -> tuple[int, Any, str]:
        async with (
            aiohttp.ClientSession() as session,
            session.post(f"{provider.openai_url}/chat/completions", json=CALL) as answer,
        ):
            return answer.status, await answer.json(), answer.headers["Content-Type"]

    status, body, content_type = asyncio.run(ask())

    assert (status, content_type) == (400, "application/json")
    assert body["xproxy_error"]["code"] == "limit_reached"
    assert provider.requests == []


def test_aiohttp_raises_it_where_the_app_wants_that(provider: Provider) -> None:
    async def ask() -> None:
        async with aiohttp.ClientSession(raise_for_status=True) as session:
            await session.post(f"{provider.openai_url}/chat/completions", json=CALL)

    with pytest.raises(aiohttp.ClientResponseError) as raised:
        asyncio.run(ask())

    assert raised.value.status == 400


def test_it_is_reported_as_blocked(provider: Provider, ledger: Ledger) -> None:
    with track_context(user_id="alice"), pytest.raises(openai.BadRequestError):
        openai_sync(provider.url)
    assert flush(10)

    report = ledger.requests(limit=1)[0]
    assert (report.user_id, report.http_status_code, report.cost) == ("alice", 400, Decimal(0))
    assert report.properties["system.blocked_limit_ids"] == "budget"
    assert report.properties["system.failure"] == "limit_reached"
    assert ledger.limit("budget")["totals"]["requests"]["blocked"] == 1


def test_a_limit_that_had_room_is_told_to_be_blocked_by_another(
    provider: Provider, ledger: Ledger, new_limit: NewLimit
) -> None:
    new_limit("5", "roomy")
    with track_context(limit_ids=["roomy"]), pytest.raises(openai.BadRequestError) as raised:
        openai_sync(provider.url)
    assert flush(10)

    told: Any = raised.value.response.json()
    states = {"budget": {"state": "blocked"}, "roomy": {"state": "blocked_external"}}
    assert told["xproxy_result"]["limits"] == states
    assert ledger.limit("roomy")["totals"]["requests"]["blocked_external"] == 1
    assert ledger.limit("roomy")["totals"]["requests"]["blocked"] == 0


def test_a_call_that_names_no_limit_goes_out(provider: Provider) -> None:
    with track_context(limit_ids=[]):
        openai_sync(provider.url)

    assert len(provider.requests) == 1


def test_the_result_of_a_refused_call_names_its_limits(provider: Provider) -> None:
    with track_context(user_id="alice"):
        with pytest.raises(openai.BadRequestError):
            openai_sync(provider.url)
        assert flush(10)
        result = get_context().last_result

    assert result is not None
    assert result.blocked_limit_ids == ["budget"]


def test_limits_that_are_not_to_be_enforced_refuse_nothing(remote: Settings, provider: Provider) -> None:
    instrument(remote.model_copy(update={"limit_ids": ("budget",), "limits": "off"}))

    openai_sync(provider.url)

    assert len(provider.requests) == 1
