"""A remote service, settings that report to it, and an app whose handler calls a provider."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import openai
import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Route

from payi_middleware import PayiMiddleware, Settings
from payi_middleware.delivery import pacing
from payi_middleware.demo.provider import Provider
from tests.delivery.ingest_server import PAYI_KEY, Ingest, ingest_server
from tests.transport.calling import KEY, MESSAGES


@pytest.fixture(params=["asyncio", "trio"])
def anyio_backend(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(params=["httpx", "httpx2"])
def library(request: pytest.FixtureRequest) -> Any:
    return importlib.import_module(request.param)


@pytest.fixture
def remote_ledger(tmp_path: Path) -> Path:
    return tmp_path / "remote.db"


@pytest.fixture
def ingest(remote_ledger: Path) -> Iterator[Ingest]:
    with ingest_server(remote_ledger) as server:
        yield server


@pytest.fixture
def remote(ingest: Ingest) -> Settings:
    """Settings that report to the service; nothing is waited for at the end."""
    return Settings(
        base_url=ingest.url,
        api_key=PAYI_KEY,
        limits="off",  # it is asked for nothing but reports
        header_wait=10.0,
        ingest_timeout=5.0,
        shutdown_timeout=0.2,
    )


@pytest.fixture
def short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    """Repeat failed deliveries at once, as there is nobody to spare."""
    monkeypatch.setattr(pacing, "LONGEST_PAUSE", 0.02)


@pytest.fixture
def make_app(provider: Provider) -> Callable[[Settings], PayiMiddleware]:
    """Make an app with one handler that asks a provider."""

    async def ask(request: Request) -> PlainTextResponse:
        async with openai.AsyncOpenAI(base_url=provider.openai_url, api_key=KEY, max_retries=0) as client:
            answer = await client.chat.completions.create(
                model="gpt-4o-mini", messages=MESSAGES, extra_headers=dict(request.query_params)
            )
        return PlainTextResponse(answer.choices[0].message.content or "")

    app = Starlette(routes=[Route("/ask", ask)])
    return lambda settings: PayiMiddleware(app, settings)
