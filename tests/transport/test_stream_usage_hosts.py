"""Which other hosts' streams are asked for their usage: Azure's, whose API has versions, and Ollama's."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import httpx2
import openai
import pytest
import requests
from openai import AsyncAzureOpenAI, AzureOpenAI, OpenAI

from payi_middleware import Settings, instrument
from payi_middleware.demo.provider import Provider
from payi_middleware.providers import recognise, tells_usage_if_asked
from tests.transport.calling import delivered, only_report
from tests.transport.test_requests_usage import detour
from tests.transport.test_stream_usage import HELLO, Detour
from tests.transport.test_stream_usage_aiohttp import Here, session_here

STREAMED: dict[str, Any] = {**HELLO, "stream": True}
ASKED = {**STREAMED, "stream_options": {"include_usage": True}}
DEPLOYMENT = "/openai/deployments/d/chat/completions"
NEW, OLD = "2024-10-21", "2024-08-01-preview"


def azure(provider: Provider, version: str) -> AzureOpenAI:
    http = httpx2.Client(transport=Detour(provider.port))
    endpoint = "https://mine.openai.azure.com"
    return AzureOpenAI(api_key="k", azure_endpoint=endpoint, api_version=version, http_client=http)


@pytest.mark.parametrize("version", [NEW, "2024-09-01-preview", "2025-04-01-preview"])
def test_azures_sdk_is_asked_where_its_version_knows_the_question(
    provider: Provider, settings: Settings, ledger_path: Path, version: str
) -> None:
    instrument(settings)
    with azure(provider, version) as client:
        chunks = list(client.chat.completions.create(**STREAMED))
    assert all(chunk.choices for chunk in chunks)
    assert provider.requests[-1].body == ASKED
    report = only_report(ledger_path)
    assert (report.category, report.input_tokens) == ("system.azureopenai", 3)
    assert report.output_tokens > 0


@pytest.mark.parametrize("version", [OLD, "2024-02-01", "2023-05-15"])
def test_older_versions_which_refuse_it_are_not_asked(provider: Provider, settings: Settings, version: str) -> None:
    instrument(settings)
    with azure(provider, version) as client:
        list(client.chat.completions.create(**STREAMED))
    assert provider.requests[-1].body == STREAMED


def test_azure_is_not_asked_with_data_sources_as_it_refuses_both(provider: Provider, settings: Settings) -> None:
    instrument(settings)
    with azure(provider, NEW) as client:
        list(client.chat.completions.create(**STREAMED, extra_body={"data_sources": []}))
    assert provider.requests[-1].body == {**STREAMED, "data_sources": []}


@pytest.mark.parametrize("anyio_backend", ["asyncio"])  # aiohttp knows no other
@pytest.mark.anyio
async def test_azures_sdk_on_aiohttp_is_asked(
    provider: Provider, settings: Settings, ledger_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("aiohttp.connector.DefaultResolver", lambda **_: Here())
    instrument(settings)
    endpoint = f"http://mine.openai.azure.com:{provider.port}"
    http = openai.DefaultAioHttpClient()
    async with AsyncAzureOpenAI(api_key="k", azure_endpoint=endpoint, api_version=NEW, http_client=http) as client:
        stream: Any = await client.chat.completions.create(**STREAMED)
        assert all([chunk.choices async for chunk in stream])
    assert provider.requests[-1].body == ASKED
    assert only_report(ledger_path).input_tokens == 3
    assert delivered() == 1


@pytest.mark.parametrize("anyio_backend", ["asyncio"])
@pytest.mark.anyio
@pytest.mark.parametrize(("version", "asked"), [(NEW, ASKED), (OLD, STREAMED)])
@pytest.mark.parametrize("apart", [False, True])
async def test_aiohttp_finds_the_version_in_the_address_and_in_parameters(
    provider: Provider, settings: Settings, version: str, asked: dict[str, Any], apart: bool
) -> None:
    instrument(settings)
    url = f"http://mine.openai.azure.com:{provider.port}{DEPLOYMENT}"
    parameters: Any = {"params": {"api-version": version}} if apart else {}
    async with session_here() as session:
        address = url if apart else f"{url}?api-version={version}"
        async with session.post(address, json=STREAMED, **parameters) as response:
            await response.read()
    assert provider.requests[-1].body == asked


@pytest.mark.parametrize(("version", "asked"), [(NEW, ASKED), (OLD, STREAMED)])
def test_requests_finds_the_version_in_the_address(
    provider: Provider, settings: Settings, version: str, asked: dict[str, Any]
) -> None:
    instrument(settings)
    with detour(f"http://127.0.0.1:{provider.port}") as session:
        response: requests.Response = session.post(
            f"https://mine.openai.azure.com{DEPLOYMENT}", params={"api-version": version}, json=STREAMED
        )
    assert b"[DONE]" in response.content
    assert provider.requests[-1].body == asked


def test_ollama_is_asked_at_its_port_of_any_host(provider: Provider, settings: Settings, ledger_path: Path) -> None:
    instrument(settings)
    http = httpx2.Client(transport=Detour(provider.port))
    with OpenAI(api_key="k", base_url="http://gpu.internal:11434/v1", http_client=http) as client:
        chunks = list(client.chat.completions.create(**STREAMED))
    assert all(chunk.choices for chunk in chunks)
    assert provider.requests[-1].body == ASKED
    assert only_report(ledger_path).input_tokens == 3


@pytest.mark.parametrize(
    ("url", "query", "asked"),
    [
        ("mine.openai.azure.com/openai/v1/chat/completions", "", True),
        ("mine.openai.azure.com/openai/v1/chat/completions", "api-version=preview", True),
        ("mine.openai.azure.com/openai/deployments/d/completions", "x=1&api-version=2024-10-21", True),
        ("mine.openai.azure.com/openai/deployments/d/completions", "x-api-version=2024-10-21", False),
        ("mine.openai.azure.com/openai/deployments/d/chat/completions", "", False),
        ("mine.openai.azure.com/openai/deployments/d/embeddings", "api-version=2024-10-21", False),
        ("mine.services.ai.azure.com/models/chat/completions", "api-version=2025-05-01", False),
        ("api.openai.com/v1/completions", "", True),
        ("api.openai.com/v1/responses", "", False),
        ("api.venice.ai/api/v1/chat/completions", "", True),
        ("api.writer.com/v1/chat", "", True),
        ("api.writer.com/v1/completions", "", False),
        ("api.mistral.ai/v1/chat/completions", "", False),
        ("llm.internal/v1/chat/completions", "", False),
    ],
)
def test_a_host_is_asked_where_its_own_page_says_so(url: str, query: str, asked: bool) -> None:
    host, _, path = url.partition("/")
    match = recognise("POST", host, None, f"/{path}", {})
    assert match is not None
    assert tells_usage_if_asked(match, f"/{path}", query) is asked
