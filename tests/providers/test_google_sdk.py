"""Google's own SDK, and Anthropic's for Vertex AI, metered end to end by `instrument()`."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest

from payi_middleware import Settings, instrument
from payi_middleware.service.accounts.records import RequestRecord
from tests.providers.gemini_server import UNITS, GeminiServer
from tests.transport.calling import only_report, reports

genai = pytest.importorskip("google.genai")
anthropic = pytest.importorskip("anthropic")
from google.genai import errors, types  # noqa: E402 - only where it is installed
from google.oauth2.credentials import Credentials  # noqa: E402

MODEL = "gemini-2.5-flash"
QUESTION = "Which city is the capital of Norway?"


@pytest.fixture(name="server", scope="module")
def _server() -> Iterator[GeminiServer]:
    with GeminiServer().running() as server:
        yield server


@pytest.fixture(name="studio")
def _studio(server: GeminiServer, settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """A client of AI Studio, made before anything is instrumented."""
    for name in ("GOOGLE_API_KEY", "GEMINI_API_KEY", "GOOGLE_GENAI_USE_VERTEXAI", "GOOGLE_GENAI_USE_ENTERPRISE"):
        monkeypatch.delenv(name, raising=False)
    server.ids.clear()
    with genai.Client(api_key="k", http_options=types.HttpOptions(base_url=server.url)) as client:
        instrument(settings)
        yield client


@pytest.fixture(name="vertex")
def _vertex(server: GeminiServer, settings: Settings) -> Iterator[Any]:
    """A client of Vertex AI, made after everything is instrumented."""
    server.ids.clear()
    instrument(settings)
    with genai.Client(
        vertexai=True,
        project="p",
        location="us-central1",
        credentials=Credentials(token="t"),  # type: ignore[no-untyped-call]
        http_options=types.HttpOptions(base_url=server.url),
    ) as client:
        yield client


def check(report: RequestRecord, server: GeminiServer, model: str = f"google.{MODEL}") -> None:
    """See that the report is of the server's last answer, counted and priced."""
    assert report.provider_response_id == server.ids[-1]
    assert (report.category, report.resource, report.units) == ("system.google.vertex", model, UNITS)
    assert (report.http_status_code, report.failed, report.unknown_units) == (200, False, {})
    assert report.cost > 0


def test_the_sdk_runs_on_a_library_that_is_metered(studio: Any) -> None:
    assert isinstance(studio._api_client._httpx_client, httpx2.Client)
    assert isinstance(studio._api_client._async_httpx_client, httpx2.AsyncClient)


def test_a_generation_is_metered(studio: Any, server: GeminiServer, ledger_path: Path) -> None:
    assert studio.models.generate_content(model=MODEL, contents=QUESTION).text == "Oslo"
    check(only_report(ledger_path), server)


def test_a_streamed_generation_is_metered(studio: Any, server: GeminiServer, ledger_path: Path) -> None:
    chunks = list(studio.models.generate_content_stream(model=MODEL, contents=QUESTION))
    assert chunks[-1].usage_metadata.total_token_count == 200
    report = only_report(ledger_path)
    check(report, server)
    assert report.time_to_first_token_ms is not None
    assert "system.stream" not in report.properties


def test_a_stream_left_early_is_metered_with_what_it_had_counted(studio: Any, ledger_path: Path) -> None:
    stream = studio.models.generate_content_stream(model=MODEL, contents=QUESTION)
    next(stream)
    stream.close()
    report = only_report(ledger_path)
    assert report.units["text"]["input"] == 120
    assert "system.stream" in report.properties


@pytest.mark.anyio
@pytest.mark.filterwarnings("ignore:Inheritance class:DeprecationWarning")  # the SDK derives from aiohttp's session
@pytest.mark.parametrize("anyio_backend", ["asyncio"])  # the SDK knows no other
async def test_async_generations_are_metered(studio: Any, server: GeminiServer, ledger_path: Path) -> None:
    """They run on aiohttp where that is installed."""
    assert studio._api_client._use_aiohttp()
    await ask_async(studio, server, ledger_path)


@pytest.mark.anyio
@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_async_generations_through_a_client_of_the_apps_own_are_metered(
    server: GeminiServer, settings: Settings, ledger_path: Path
) -> None:
    """Which is what keeps the SDK from aiohttp."""
    instrument(settings)
    async with httpx2.AsyncClient() as own:
        options = types.HttpOptions(base_url=server.url, httpx_async_client=own)
        await ask_async(genai.Client(api_key="k", http_options=options), server, ledger_path)


async def ask_async(client: Any, server: GeminiServer, ledger_path: Path) -> None:
    async with client.aio as asking:
        assert (await asking.models.generate_content(model=MODEL, contents=QUESTION)).text == "Oslo"
        stream = await asking.models.generate_content_stream(model=MODEL, contents=QUESTION)
        assert [chunk async for chunk in stream]
    whole, streamed = reports(ledger_path)
    assert whole.units == UNITS
    check(streamed, server)


def test_the_rounds_of_an_automatic_function_call_are_metered_one_by_one(
    studio: Any, server: GeminiServer, ledger_path: Path
) -> None:
    def weather(city: str) -> str:
        """Return the weather in a city."""
        return f"rain in {city}"

    config = types.GenerateContentConfig(tools=[weather])
    assert studio.models.generate_content(model=MODEL, contents=QUESTION, config=config).text == "Oslo"
    first, second = reports(ledger_path)
    assert first.exchange["provider_response_function_calls"][0]["name"] == "weather"
    check(second, server)


def test_a_chat_is_metered(studio: Any, server: GeminiServer, ledger_path: Path) -> None:
    chat = studio.chats.create(model=MODEL)
    assert chat.send_message(QUESTION).text == "Oslo"
    check(only_report(ledger_path), server)


def test_an_embedding_is_metered(studio: Any, ledger_path: Path) -> None:
    studio.models.embed_content(model="gemini-embedding-001", contents=[QUESTION])
    report = only_report(ledger_path)
    assert (report.resource, report.input_tokens) == ("google.gemini-embedding-001", 8)


def test_counting_tokens_is_no_inference(studio: Any, ledger_path: Path) -> None:
    assert studio.models.count_tokens(model=MODEL, contents=QUESTION).total_tokens == 7
    assert reports(ledger_path) == []


def test_interactions_are_metered(studio: Any, server: GeminiServer, ledger_path: Path) -> None:
    assert studio.interactions.create(model=MODEL, input=QUESTION).status == "completed"
    check(only_report(ledger_path), server)
    assert list(studio.interactions.create(model=MODEL, input=QUESTION, stream=True))
    _, streamed = reports(ledger_path)
    check(streamed, server)


def test_failed_generations_are_reported_as_failed(studio: Any, ledger_path: Path) -> None:
    with pytest.raises(errors.ClientError):
        studio.models.generate_content(model="missing", contents=QUESTION)
    with pytest.raises(errors.ClientError):
        list(studio.models.generate_content_stream(model="missing", contents=QUESTION))
    for report in reports(ledger_path):
        assert (report.http_status_code, report.failed, report.resource) == (404, True, "google.missing")
        assert report.cost == 0
    assert len(reports(ledger_path)) == 2


def test_an_error_within_a_stream_is_reported_as_failed(studio: Any, ledger_path: Path) -> None:
    with pytest.raises(errors.APIError):
        list(studio.models.generate_content_stream(model="breaks", contents=QUESTION))
    report = only_report(ledger_path)
    assert (report.failed, report.properties["system.failure"]) == (True, "503")


def test_vertex_generations_are_metered(vertex: Any, server: GeminiServer, ledger_path: Path) -> None:
    assert vertex.models.generate_content(model=MODEL, contents=QUESTION).text == "Oslo"
    assert list(vertex.models.generate_content_stream(model=MODEL, contents=QUESTION))
    whole, streamed = reports(ledger_path)
    assert whole.units == UNITS
    check(streamed, server)


def test_vertex_embeddings_are_metered(vertex: Any, ledger_path: Path) -> None:
    vertex.models.embed_content(model="text-embedding-005", contents=[QUESTION, QUESTION])
    report = only_report(ledger_path)
    assert (report.resource, report.input_tokens) == ("google.text-embedding-005", 11)


CLAUDE: dict[str, Any] = {
    "model": "claude-sonnet-4-5@20250929",
    "max_tokens": 50,
    "messages": [{"role": "user", "content": QUESTION}],
}
COUNTED: dict[str, Any] = {key: CLAUDE[key] for key in ("model", "messages")}


def on_vertex(server: GeminiServer) -> dict[str, Any]:
    return {"base_url": f"{server.url}/v1", "project_id": "p", "region": "us-east5", "access_token": "t"}


def check_claude(server: GeminiServer, ledger_path: Path) -> None:
    """See that there are two reports, of a whole message and of a stream, and none of the tokens that were counted."""
    whole, streamed = reports(ledger_path)
    for report in (whole, streamed):
        assert (report.category, report.resource) == ("system.google.vertex", "anthropic.claude-sonnet-4-5@20250929")
        assert report.units == {"text": {"input": 20, "output": 30}, "text_cache_read": {"input": 100, "output": 0}}
    assert streamed.provider_response_id in server.ids


def test_claude_on_vertex_is_metered(settings: Settings, server: GeminiServer, ledger_path: Path) -> None:
    instrument(settings)
    with anthropic.AnthropicVertex(**on_vertex(server)) as client:
        client.messages.create(**CLAUDE)
        assert list(client.messages.create(**CLAUDE, stream=True))
        client.messages.count_tokens(**COUNTED)
    check_claude(server, ledger_path)


@pytest.mark.anyio
async def test_claude_on_vertex_is_metered_async(settings: Settings, server: GeminiServer, ledger_path: Path) -> None:
    instrument(settings)
    async with anthropic.AsyncAnthropicVertex(**on_vertex(server)) as client:
        await client.messages.create(**CLAUDE)
        assert [event async for event in await client.messages.create(**CLAUDE, stream=True)]
        await client.messages.count_tokens(**COUNTED)
    check_claude(server, ledger_path)
