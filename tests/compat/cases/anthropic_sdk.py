"""anthropic: messages plain and streamed, sync and async, for several users; results on the SDK's objects."""

from __future__ import annotations

import asyncio
from typing import Any

import anthropic

from tests.compat.cases.metering import KEY, MESSAGE_MODEL, Metered, metered


def _message(prompt: str) -> dict[str, Any]:
    return {"model": MESSAGE_MODEL, "max_tokens": 50, "messages": [{"role": "user", "content": prompt}]}


def _sync(world: Metered) -> None:
    with anthropic.Anthropic(api_key=KEY, base_url=world.provider.anthropic_url) as client:
        with world.asking("ann") as prompt:
            world.promises("ann", client.messages.create(**_message(prompt)))
        with world.asking("bob") as prompt:
            events = client.messages.create(**_message(prompt), stream=True)
            assert list(events)
            world.promises("bob", events)
        with world.asking("erin") as prompt, client.messages.stream(**_message(prompt)) as stream:
            assert stream.get_final_text()
            world.promises("erin", stream)


async def _plain(world: Metered, client: anthropic.AsyncAnthropic, user: str) -> None:
    with world.asking(user) as prompt:
        world.promises(user, await client.messages.create(**_message(prompt)))


async def _streamed(world: Metered, client: anthropic.AsyncAnthropic, user: str) -> None:
    with world.asking(user) as prompt:
        async with client.messages.stream(**_message(prompt)) as stream:
            assert await stream.get_final_text()
            world.promises(user, stream)


async def _async(world: Metered) -> None:
    async with anthropic.AsyncAnthropic(api_key=KEY, base_url=world.provider.anthropic_url) as client:
        plain = (_plain(world, client, user) for user in ("carol", "frank"))
        streamed = (_streamed(world, client, user) for user in ("dave", "grace"))
        await asyncio.gather(*plain, *streamed)


if __name__ == "__main__":
    with metered() as world:
        _sync(world)
        asyncio.run(_async(world))
        world.check(calls=7)
