"""Results on the objects of Google's SDK, whichever HTTP library it runs on, and whom its calls are attributed to."""

from __future__ import annotations

import asyncio
import copy
import pickle
import subprocess
import sys
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


async def _interact(client: Any) -> Any:
    return await client.interactions.create(model=MODEL, input=QUESTION)


async def _interact_raw(client: Any) -> Any:
    return await (await client.interactions.with_raw_response.create(model=MODEL, input=QUESTION)).parse()


async def _interact_streamed(client: Any) -> Any:
    events = [event async for event in await client.interactions.create(model=MODEL, input=QUESTION, stream=True)]
    return events[-1].interaction


async def _raw(client: Any) -> Any:
    config = types.GenerateContentConfig(should_return_http_response=True)
    return await client.models.generate_content(model=MODEL, contents=QUESTION, config=config)


ASKED = [_generate, _stream, _chat, _embed, _interact, _interact_raw, _interact_streamed, _raw]


@pytest.mark.anyio
@pytest.mark.parametrize("ask", ASKED)
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
    "interaction": lambda client: client.interactions.create(model=MODEL, input=QUESTION),
    "raw interaction": lambda client: client.interactions.with_raw_response.create(model=MODEL, input=QUESTION).parse(),
    "uncontinued": lambda client: client.interactions.create(model=MODEL, input=QUESTION, automatic_continuation=False),
    "streamed interaction": lambda client: _events(client)[-1].interaction,
    "event": lambda client: _events(client)[-1],
}


def _events(client: Any) -> list[Any]:
    return list(client.interactions.create(model=MODEL, input=QUESTION, stream=True))


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


def test_an_interaction_that_takes_several_calls_leads_to_the_result_of_the_last(
    client: Any, ledger_path: Path
) -> None:
    answer = client.interactions.create(model="continues", input=QUESTION)
    assert len(answer.continuation_ids) == 3
    result = result_of(answer, timeout=10)
    assert answer.xproxy_result is result
    first, second, last = reports(ledger_path)
    assert [report.provider_response_id for report in (first, second, last)] == answer.continuation_ids
    assert result.request_id == last.request_id


def test_the_first_interaction_of_a_process_leads_to_its_result(server: GeminiServer, tmp_path: Path) -> None:
    """In a process of its own, since the SDK imports the interaction's class late."""
    program = """
import sys
from google import genai
import payi_middleware as payi
payi.instrument(payi.Settings(ledger=sys.argv[2]))
client = genai.Client(api_key="k", http_options=genai.types.HttpOptions(base_url=sys.argv[1]))
seams = "google.genai._gaos.types.interactions.interaction"
assert seams not in sys.modules
answer = client.interactions.create(model="gemini-2.5-flash", input="Oslo?")
assert payi.result_of(answer, timeout=10) is answer.xproxy_result
"""
    subprocess.run([sys.executable, "-c", program, server.url, str(tmp_path / "payi.db")], check=True, timeout=60)


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
        SYNC["interaction"](client),
        client.models.generate_content(model=MODEL, contents=QUESTION, config=config),
    ):
        assert flush(10)
        assert answer.xproxy_result
        twin = pickle.loads(pickle.dumps(answer))
        assert b"payi" not in pickle.dumps(answer)
        assert twin == answer == copy.deepcopy(answer)
        assert (repr(twin), twin.model_dump(), twin.model_dump_json()) == (
            repr(answer),
            answer.model_dump(),
            answer.model_dump_json(),
        )
        assert "xproxy_result" not in type(answer).model_json_schema()["properties"]


def test_an_error_is_raised_as_without_us(client: Any) -> None:
    with pytest.raises(errors.ClientError) as raised:
        client.models.generate_content(model="missing", contents=QUESTION)
    assert (raised.value.code, raised.value.status) == (404, "NOT_FOUND")


def test_uninstrument_leaves_the_sdk_as_it_was(server: GeminiServer, settings: Settings) -> None:
    def seams() -> list[Any]:
        from google.genai import _api_client
        from google.genai._gaos import interactions
        from google.genai._gaos.types.interactions.interaction import Interaction

        return [
            vars(errors.APIError)["raise_for_response"],
            vars(errors.APIError)["raise_for_async_response"],
            _api_client.HttpResponse.__init__,
            types.HttpResponse.__init__,
            getattr(types.GenerateContentResponse, "xproxy_result", None),
            interactions.unmarshal_json_response,  # type: ignore[attr-defined]
            Interaction.model_copy,
            getattr(Interaction, "xproxy_result", None),
        ]

    before = seams()
    instrument(settings)
    with genai.Client(api_key="k", http_options=types.HttpOptions(base_url=server.url)) as client:
        SYNC["generate"](client)
        SYNC["interaction"](client)
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
