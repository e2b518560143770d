"""instructor on openai: structured answers, plain and partial, sync and async."""

from __future__ import annotations

import asyncio
from typing import Any

import instructor
import openai
from pydantic import BaseModel

from payi_middleware.demo.behaviour import HEADER
from tests.compat.cases.metering import CHAT_MODEL, KEY, Metered, metered


class Place(BaseModel):
    """What the stand-in's tool call says."""

    city: str


CALLED = {HEADER: '{"tool_call": "Place"}'}


def _asked(prompt: str) -> dict[str, Any]:
    return {"model": CHAT_MODEL, "response_model": Place, "messages": [{"role": "user", "content": prompt}]}


def _sync(world: Metered) -> None:
    inner = openai.OpenAI(api_key=KEY, base_url=world.provider.openai_url, default_headers=CALLED)
    client: Any = instructor.from_openai(inner)
    with world.asking("ann") as prompt:
        assert client.chat.completions.create(**_asked(prompt)).city == "Oslo"
    with world.asking("bob") as prompt:
        *_, last = client.chat.completions.create_partial(**_asked(prompt), stream_options={"include_usage": True})
        assert last.city == "Oslo"


async def _plain(world: Metered, client: Any, user: str) -> None:
    with world.asking(user) as prompt:
        place, completion = await client.chat.completions.create_with_completion(**_asked(prompt))
    assert place.city == "Oslo"
    world.promises(user, completion)


async def _partial(world: Metered, client: Any, user: str) -> None:
    with world.asking(user) as prompt:
        partials = client.chat.completions.create_partial(**_asked(prompt), stream_options={"include_usage": True})
        assert [partial async for partial in partials][-1].city == "Oslo"


async def _async(world: Metered) -> None:
    inner = openai.AsyncOpenAI(api_key=KEY, base_url=world.provider.openai_url, default_headers=CALLED)
    client: Any = instructor.from_openai(inner)
    await asyncio.gather(
        *(_plain(world, client, user) for user in ("carol", "frank")),
        *(_partial(world, client, user) for user in ("dave", "grace")),
    )


if __name__ == "__main__":
    with metered() as world:
        _sync(world)
        asyncio.run(_async(world))
        world.check(calls=6)
