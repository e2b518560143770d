"""httpx or httpx2, named on the command line, without any SDK: plain and streamed, sync and async, by hand too."""

from __future__ import annotations

import asyncio
import importlib
import sys
from typing import Any

from payi_middleware import AsyncPayiTransport, PayiTransport, result_of
from tests.compat.cases.metering import CHAT_MODEL, Metered, metered


def _request(world: Metered, prompt: str, *, stream: bool) -> dict[str, Any]:
    asked: dict[str, Any] = {"model": CHAT_MODEL, "messages": [{"role": "user", "content": prompt}]}
    if stream:
        asked |= {"stream": True, "stream_options": {"include_usage": True}}
    return {"url": f"{world.provider.openai_url}/chat/completions", "json": asked}


def _plain(world: Metered, client: Any, user: str) -> None:
    with world.asking(user) as prompt:
        response = client.post(**_request(world, prompt, stream=False))
    result = result_of(response, timeout=10)
    assert result is not None
    assert result.user_id == user


def _streamed(world: Metered, client: Any, user: str) -> None:
    with (
        world.asking(user) as prompt,
        client.stream("POST", **_request(world, prompt, stream=True)) as response,
    ):
        assert list(response.iter_lines())[-2:] == ["data: [DONE]", ""]


async def _aplain(world: Metered, client: Any, user: str) -> None:
    with world.asking(user) as prompt:
        assert (await client.post(**_request(world, prompt, stream=False))).is_success


async def _astreamed(world: Metered, client: Any, user: str) -> None:
    with world.asking(user) as prompt:
        async with client.stream("POST", **_request(world, prompt, stream=True)) as response:
            assert [line async for line in response.aiter_lines()][-2:] == ["data: [DONE]", ""]


async def _all_async(world: Metered, module: Any) -> None:
    by_hand = AsyncPayiTransport(module.AsyncHTTPTransport())
    async with module.AsyncClient() as client, module.AsyncClient(transport=by_hand) as wrapped:
        await asyncio.gather(
            _aplain(world, client, "carol"),
            _astreamed(world, client, "dave"),
            _aplain(world, wrapped, "grace"),
            _astreamed(world, wrapped, "heidi"),
        )


def _main(module: Any) -> None:
    with metered() as world:
        by_hand = PayiTransport(module.HTTPTransport())
        with module.Client() as client, module.Client(transport=by_hand) as wrapped:
            _plain(world, client, "ann")
            _streamed(world, client, "bob")
            _plain(world, wrapped, "erin")
            _streamed(world, wrapped, "frank")
        asyncio.run(_all_async(world, module))
        world.check(calls=8)


if __name__ == "__main__":
    _main(importlib.import_module(sys.argv[1]))
