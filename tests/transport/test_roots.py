"""Calls of a host's root: Hugging Face's endpoints generate there, and nobody else does."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import aiohttp
import httpx2
import huggingface_hub
import pytest
from aiohttp.abc import AbstractResolver
from yarl import URL

from payi_middleware import Settings, instrument
from tests.providers.speaking import Speaker, Spoken, speaking
from tests.transport.calling import delivered, only_report

HOST = "abc.us-east-1.aws.endpoints.huggingface.cloud"
ASKED = {"inputs": "Where are the keys?", "parameters": {"details": True}}
COUNTS = {"x-prompt-tokens": "16", "x-generated-tokens": "75"}
DETAILS = {"finish_reason": "eos_token", "generated_tokens": 75, "prefill": [], "tokens": []}
ANSWER = [{"generated_text": "Here.", "details": DETAILS}]


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(name="server")
def _server() -> Iterator[Speaker]:
    with speaking({"/": Spoken([json.dumps(ANSWER).encode()], headers=COUNTS)}) as server:
        yield server


def detour(library: Any, server: Speaker) -> Any:
    """Return a transport to a local server, whatever the host is called, as no provider can be reached from a test."""

    class Detour(library.HTTPTransport):  # type: ignore[misc]
        def handle_request(self, request: Any) -> Any:
            if request.url.path != "/":  # Hugging Face's client asks for more at times
                return library.Response(404)
            port = int(server.url.rpartition(":")[2])
            request.url = request.url.copy_with(scheme="http", host="127.0.0.1", port=port)
            return super().handle_request(request)

    return Detour()


@pytest.mark.parametrize("url", [f"https://{HOST}", f"https://{HOST}/", f"https://{HOST}/?a=b"])
def test_an_endpoint_s_root_is_metered(
    library: Any, server: Speaker, settings: Settings, ledger_path: Path, url: str
) -> None:
    instrument(settings)
    with library.Client(transport=detour(library, server)) as client:
        assert client.post(url, json=ASKED).json() == ANSWER
    report = only_report(ledger_path)
    assert (report.category, report.input_tokens, report.output_tokens) == ("huggingface", 16, 75)


class Detouring(AbstractResolver):
    """The same for aiohttp's connections."""

    def __init__(self, server: Speaker) -> None:
        self.port = int(server.url.rpartition(":")[2])

    async def resolve(self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET) -> Any:
        here = {"host": "127.0.0.1", "port": self.port, "family": socket.AF_INET, "proto": 0, "flags": 0}
        return [{"hostname": host, **here}]

    async def close(self) -> None:
        pass


@pytest.mark.anyio
@pytest.mark.parametrize(
    "url", [f"http://{HOST}", f"http://{HOST}/", URL(f"http://{HOST}"), URL(f"http://{HOST}/?a=b")]
)
async def test_an_endpoint_s_root_is_metered_by_aiohttp(
    server: Speaker, settings: Settings, ledger_path: Path, url: str | URL
) -> None:
    instrument(settings)
    async with (
        aiohttp.ClientSession(connector=aiohttp.TCPConnector(resolver=Detouring(server))) as session,
        session.post(url, json=ASKED) as response,
    ):
        assert await response.json() == ANSWER
    report = only_report(ledger_path)
    assert (report.category, report.input_tokens, report.output_tokens) == ("huggingface", 16, 75)


def test_its_own_client_is_metered(server: Speaker, settings: Settings, ledger_path: Path) -> None:
    instrument(settings)
    huggingface_hub.set_client_factory(lambda: httpx2.Client(transport=detour(httpx2, server)))
    try:
        client = huggingface_hub.InferenceClient(model=f"https://{HOST}", token="hf_k")
        assert client.text_generation("Where are the keys?", details=True).generated_text == "Here."
    finally:
        huggingface_hub.set_client_factory(httpx2.Client)
    assert only_report(ledger_path).output_tokens == 75


@pytest.mark.parametrize("host", ["api.openai.com", "me-my.hf.space", "example.com", "completions"])
def test_other_roots_are_not_metered(library: Any, server: Speaker, settings: Settings, host: str) -> None:
    instrument(settings)
    with library.Client(transport=detour(library, server)) as client:
        assert client.post(f"https://{host}/", json=ASKED).json() == ANSWER
        assert client.get(f"https://{HOST}/").json() == ANSWER
    assert delivered() == 0
