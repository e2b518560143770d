"""Providers' SDKs, instrumented."""

from __future__ import annotations

from collections.abc import Iterator

import anthropic
import openai
import pytest

from payi_middleware import Settings, instrument
from payi_middleware.demo.provider import Provider
from tests.transport.calling import KEY


@pytest.fixture(params=["asyncio", "trio"])
def anyio_backend(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def instrumented(settings: Settings) -> None:
    instrument(settings)


@pytest.fixture
def openai_client(provider: Provider) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=provider.openai_url, api_key=KEY, max_retries=0) as client:
        yield client


@pytest.fixture
def anthropic_client(provider: Provider) -> Iterator[anthropic.Anthropic]:
    with anthropic.Anthropic(base_url=provider.anthropic_url, api_key=KEY, max_retries=0) as client:
        yield client
