"""What the plays have in common: clients that were made before the fork, and how they are asked."""

from __future__ import annotations

import asyncio
import importlib
import time
from datetime import UTC, datetime
from typing import Any

import openai
from openai.types.chat import ChatCompletionUserMessageParam

import payi_middleware as payi
from payi_middleware import meter
from payi_middleware.service.prices.catalogue import find_resource
from tests.transport.calling import KEY, stand_in

MODEL = "gpt-4o-mini"
MESSAGES: list[ChatCompletionUserMessageParam] = [{"role": "user", "content": "Hi"}]
LONG = stand_in(chunks=600)
"""Has an answer streamed that is longer than what a client reads at once, so that its end is not read with its head."""
_USED_LATER = (
    "payi_middleware.embedded",
    "payi_middleware.ingest",
    "payi_middleware.requests",
    "payi_middleware.service.ledger",
    "multiprocessing.util",
    "opentelemetry.instrumentation.threading",
)

sync: openai.OpenAI
asynchronous: openai.AsyncOpenAI


def load(provider: str) -> None:
    """Load what a first call loads, and make the clients.

    Args:
        provider: the address of the stand-in provider's OpenAI wire.
    """
    global sync, asynchronous
    for name in _USED_LATER:
        importlib.import_module(name)
    find_resource("system.openai", MODEL, datetime.now(UTC))
    with openai.OpenAI(base_url=provider, api_key=KEY) as client:
        plain(client), streamed(client)
    asyncio.run(_try_out(provider))
    payi.instrument(payi.Settings(journal="off"))
    payi.uninstrument()
    meter.close_all()
    sync = openai.OpenAI(base_url=provider, api_key=KEY, max_retries=0)
    asynchronous = openai.AsyncOpenAI(base_url=provider, api_key=KEY, max_retries=0)


async def _try_out(provider: str) -> None:
    async with openai.AsyncOpenAI(base_url=provider, api_key=KEY) as client:
        await aplain(client), await astreamed(client)


class _Slow:
    """Take so many seconds for each report. Any two are equal, as are settings that hold them."""

    def __init__(self, pause: float) -> None:
        self._pause = pause

    def __call__(self, item: dict[str, Any]) -> dict[str, Any]:
        time.sleep(self._pause)
        return item

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Slow)

    def __hash__(self) -> int:
        return 1


def settings_of(values: dict[str, Any]) -> payi.Settings:
    """Make settings; `pause` is the seconds that a report takes, so that one is pending when a process ends."""
    others = dict(values)
    pause = others.pop("pause", None)
    return payi.Settings(**others, redact=None if pause is None else _Slow(pause))


def plain(client: openai.OpenAI, **more: Any) -> str:
    """Make a call and return the id of its answer, which the app then has in full."""
    return str(client.chat.completions.create(model=MODEL, messages=MESSAGES, **more).id)


def streamed(client: openai.OpenAI, **more: Any) -> str:
    """The same, streamed."""
    chunks = client.chat.completions.create(model=MODEL, messages=MESSAGES, stream=True, **more)
    return str([chunk.id for chunk in chunks][-1])


async def aplain(client: openai.AsyncOpenAI, **more: Any) -> str:
    """The same, async."""
    return str((await client.chat.completions.create(model=MODEL, messages=MESSAGES, **more)).id)


async def astreamed(client: openai.AsyncOpenAI, **more: Any) -> str:
    """The same, async and streamed."""
    chunks = await client.chat.completions.create(model=MODEL, messages=MESSAGES, stream=True, **more)
    return str([chunk.id async for chunk in chunks][-1])
