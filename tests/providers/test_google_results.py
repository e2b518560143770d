"""Results on the objects of Google's SDK, whichever HTTP library it runs on, and whom its calls are attributed to."""

from __future__ import annotations

import asyncio
import copy
import pickle
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest

from payi_middleware import Settings, aresult_of, flush, instrument, result_of, track_context, uninstrument
from tests.providers.gemini_server import GeminiServer
from tests.transport.calling import reports

genai = pytest.importorskip("google.genai")
from google.genai import errors, types  # noqa: E402 - only where it is installed

# The SDK derives its session from aiohttp's, which aiohttp discourages.
pytestmark = pytest.mark.filterwarnings("ignore:Inheritance class:DeprecationWarning")
MODEL = "gemini-2.5-flash"
QUESTION = "Which city is the capital of Norway?"


@pytest.fixture(name="server", scope="module")
def _server() -> Iterator[GeminiServer]:
    with GeminiServer().running() as server:
        yield server


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"  # the SDK knows no other


@pytest.fixture(name="client")
def _client(server: GeminiServer, settings: Settings) -> Iterator[Any]:
    server.ids.clear()
    with genai.Client(api_key="k", http_options=types.HttpOptions(base_url=server.url)) as client:
        instrument(settings)
        yield client


@pytest.fixture(name="asking", params=["aiohttp", "httpx2"])
async def _asking(request: pytest.FixtureRequest, server: GeminiServer, settings: Settings) -> AsyncIterator[Any]:
    """The async client on aiohttp, then on httpx2, which a client of the app's own makes it use."""
    server.ids.clear()
    async with httpx2.AsyncClient() as own:
        options = types.HttpOptions(base_url=server.url, httpx_async_client=own if request.param == "httpx2" else None)
        async with genai.Client(api_key="k", http_options=options).aio as client:
            assert client._api_client._use_aiohttp() is (request.param == "aiohttp")
            instrument(settings)
            yield client


async def _generate(client: Any) -> Any:
    return await client.models.generate_content(model=MODEL, contents=QUESTION)


async def _stream(client: Any) -> Any:
    chunks = [chunk async for chunk in await client.models.generate_content_stream(model=MODEL, contents=QUESTION)]
    assert len(chunks) == 3
    return chunks[-1]


async def _chat(client: Any) -> Any:
    return await client.chats.create(model=MODEL).send_message(QUESTION)


async def _embed(client: Any) -> Any:
    return await client.models.embed_content(model="gemini-embedding-001", contents=[QUESTION])


async def _raw(client: Any) -> Any:
    config = types.GenerateContentConfig(should_return_http_response=True)
    return await client.models.generate_content(model=MODEL, contents=QUESTION, config=config)


@pytest.mark.anyio
@pytest.mark.parametrize("ask", [_generate, _stream, _chat, _embed, _raw])
async def test_async_answers_lead_to_their_result(
    asking: Any, ledger_path: Path, ask: Callable[[Any], Awaitable[Any]]
) -> None:
    answer = await ask(asking)
    result = await aresult_of(answer, timeout=10)
    assert answer.xproxy_result is result
    (report,) = reports(ledger_path)
    assert result.request_id == report.request_id


SYNC: dict[str, Callable[[Any], Any]] = {
    "generate": lambda client: client.models.generate_content(model=MODEL, contents=QUESTION),
    "stream": lambda client: list(client.models.generate_content_stream(model=MODEL, contents=QUESTION))[-1],
    "chat": lambda client: client.chats.create(model=MODEL).send_message(QUESTION),
    "embed": lambda client: client.models.embed_content(model="gemini-embedding-001", contents=[QUESTION]),
}


@pytest.mark.parametrize("name", SYNC)
def test_answers_lead_to_their_result(client: Any, ledger_path: Path, name: str) -> None:
    answer = SYNC[name](client)
    result = result_of(answer, timeout=10)
    assert answer.xproxy_result is result
    (report,) = reports(ledger_path)
    assert result.request_id == report.request_id


def test_the_stream_of_an_interaction_leads_to_its_result(client: Any) -> None:
    stream = client.interactions.create(model=MODEL, input=QUESTION, stream=True)
    assert list(stream)
    assert result_of(stream, timeout=10) is stream.xproxy_result


def test_two_answers_lead_to_two_results(client: Any) -> None:
    first, second = SYNC["generate"](client), SYNC["generate"](client)
    assert result_of(first, timeout=10).request_id != result_of(second, timeout=10).request_id


def test_an_answer_whose_result_is_not_in_has_no_such_attribute(client: Any) -> None:
    answer = types.GenerateContentResponse()
    assert not hasattr(answer, "xproxy_result")
    with pytest.raises(LookupError):
        result_of(answer)


def test_an_answer_with_its_result_looks_as_without_us(client: Any) -> None:
    config = types.GenerateContentConfig(should_return_http_response=True)
    for answer in (
        SYNC["generate"](client),
        client.models.generate_content(model=MODEL, contents=QUESTION, config=config),
    ):
        assert flush(10)
        assert answer.xproxy_result
        twin = pickle.loads(pickle.dumps(answer))
        assert b"payi" not in pickle.dumps(answer)
        assert twin == answer == copy.deepcopy(answer)
        assert (repr(twin), twin.model_dump(), twin.to_json_dict()) == (
            repr(answer),
            answer.model_dump(),
            answer.to_json_dict(),
        )
        assert "xproxy_result" not in type(answer).model_json_schema()["properties"]


def test_an_error_is_raised_as_without_us(client: Any) -> None:
    with pytest.raises(errors.ClientError) as raised:
        client.models.generate_content(model="missing", contents=QUESTION)
    assert (raised.value.code, raised.value.status) == (404, "NOT_FOUND")


def test_uninstrument_leaves_the_sdk_as_it_was(server: GeminiServer, settings: Settings) -> None:
    def seams() -> list[Any]:
        from google.genai import _api_client

        return [
            vars(errors.APIError)["raise_for_response"],
            vars(errors.APIError)["raise_for_async_response"],
            _api_client.HttpResponse.__init__,
            types.HttpResponse.__init__,
            getattr(types.GenerateContentResponse, "xproxy_result", None),
        ]

    before = seams()
    instrument(settings)
    with genai.Client(api_key="k", http_options=types.HttpOptions(base_url=server.url)) as client:
        SYNC["generate"](client)
    assert not set(map(id, before)) & set(map(id, seams()))
    uninstrument()
    assert all(now is then for now, then in zip(seams(), before, strict=True))


@pytest.mark.anyio
async def test_fifty_users_at_once_are_each_charged_for_their_own_calls(asking: Any, ledger_path: Path) -> None:
    async def ask(number: int) -> str:
        with track_context(user_id=f"user{number}"):
            answer = await (_stream if number % 2 else _generate)(asking)
            return str(answer.response_id)

    ids = await asyncio.gather(*map(ask, range(50)))
    found = {report.provider_response_id: report.user_id for report in reports(ledger_path)}
    assert found == {each: f"user{number}" for number, each in enumerate(ids)}
