"""openai: chats plain and streamed, sync and async, for several users; results on the SDK's objects."""

from __future__ import annotations

import asyncio
from typing import Any

import openai

from tests.compat.cases.metering import CHAT_MODEL, KEY, Metered, metered


def _chat(prompt: str, *, stream: bool) -> dict[str, Any]:
    asked: dict[str, Any] = {"model": CHAT_MODEL, "messages": [{"role": "user", "content": prompt}]}
    return asked | {"stream": True, "stream_options": {"include_usage": True}} if stream else asked


def _sync(world: Metered) -> None:
    with openai.OpenAI(api_key=KEY, base_url=world.provider.openai_url) as client:
        with world.asking("ann") as prompt:
            world.promises("ann", client.chat.completions.create(**_chat(prompt, stream=False)))
        with world.asking("bob") as prompt:
            stream = client.chat.completions.create(**_chat(prompt, stream=True))
            assert list(stream)
            world.promises("bob", stream)
        with world.asking("erin") as prompt:
            raw = client.chat.completions.with_raw_response.create(**_chat(prompt, stream=False))
            world.promises("erin", raw.parse())


async def _plain(world: Metered, client: openai.AsyncOpenAI, user: str) -> None:
    with world.asking(user) as prompt:
        world.promises(user, await client.chat.completions.create(**_chat(prompt, stream=False)))


async def _streamed(world: Metered, client: openai.AsyncOpenAI, user: str) -> None:
    with world.asking(user) as prompt:
        stream: Any = await client.chat.completions.create(**_chat(prompt, stream=True))
        assert [chunk async for chunk in stream]
        world.promises(user, stream)


async def _async(world: Metered) -> None:
    async with openai.AsyncOpenAI(api_key=KEY, base_url=world.provider.openai_url) as client:
        plain = (_plain(world, client, user) for user in ("carol", "frank"))
        streamed = (_streamed(world, client, user) for user in ("dave", "grace"))
        await asyncio.gather(*plain, *streamed)


if __name__ == "__main__":
    with metered() as world:
        _sync(world)
        asyncio.run(_async(world))
        world.check(calls=7)
