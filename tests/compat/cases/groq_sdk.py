"""groq: chats plain and streamed, sync and async, for several users; results on the SDK's objects."""

from __future__ import annotations

import asyncio
from typing import Any

import groq

from tests.compat.cases.metering import CHAT_MODEL, KEY, Metered, metered


def _chat(prompt: str) -> dict[str, Any]:
    return {"model": CHAT_MODEL, "messages": [{"role": "user", "content": prompt}]}


def _sync(world: Metered) -> None:
    with groq.Groq(api_key=KEY, base_url=world.provider.groq_url) as client:
        with world.asking("ann") as prompt:
            world.promises("ann", client.chat.completions.create(**_chat(prompt)))
        with world.asking("bob") as prompt:
            stream = client.chat.completions.create(**_chat(prompt), stream=True)
            assert list(stream)
            world.promises("bob", stream)


async def _plain(world: Metered, client: groq.AsyncGroq, user: str) -> None:
    with world.asking(user) as prompt:
        world.promises(user, await client.chat.completions.create(**_chat(prompt)))


async def _streamed(world: Metered, client: groq.AsyncGroq, user: str) -> None:
    with world.asking(user) as prompt:
        stream: Any = await client.chat.completions.create(**_chat(prompt), stream=True)
        assert [chunk async for chunk in stream]
        world.promises(user, stream)


async def _async(world: Metered) -> None:
    async with groq.AsyncGroq(api_key=KEY, base_url=world.provider.groq_url) as client:
        await asyncio.gather(_plain(world, client, "carol"), _streamed(world, client, "dave"))


if __name__ == "__main__":
    with metered() as world:
        _sync(world)
        asyncio.run(_async(world))
        world.check(calls=4)
