"""LangChain on openai and anthropic: invoke, stream, ainvoke, astream and batch, which runs in threads."""

from __future__ import annotations

import asyncio
from typing import Any

from langchain_anthropic import ChatAnthropic
from langchain_openai import ChatOpenAI

from tests.compat.cases.metering import CHAT_MODEL, KEY, MESSAGE_MODEL, Metered, metered


def _sync(world: Metered, model: Any, name: str) -> None:
    with world.asking(f"{name}-ann") as prompt:
        assert model.invoke(prompt).usage_metadata
    with world.asking(f"{name}-bob") as prompt:
        assert list(model.stream(prompt))
    with world.asking(f"{name}-erin") as prompt:
        assert len(model.batch([prompt, f"{prompt} And why?"])) == 2


async def _plain(world: Metered, model: Any, user: str) -> None:
    with world.asking(user) as prompt:
        assert (await model.ainvoke(prompt)).usage_metadata


async def _streamed(world: Metered, model: Any, user: str) -> None:
    with world.asking(user) as prompt:
        assert [chunk async for chunk in model.astream(prompt)]


async def _async(world: Metered, models: dict[str, Any]) -> None:
    await asyncio.gather(
        *(_plain(world, model, f"{name}-{user}") for name, model in models.items() for user in ("carol", "frank")),
        *(_streamed(world, model, f"{name}-{user}") for name, model in models.items() for user in ("dave", "grace")),
    )


if __name__ == "__main__":
    with metered() as world:
        models = {
            "openai": ChatOpenAI(model=CHAT_MODEL, api_key=KEY, base_url=world.provider.openai_url, stream_usage=True),
            "responses": ChatOpenAI(
                model=CHAT_MODEL, api_key=KEY, base_url=world.provider.openai_url, use_responses_api=True
            ),
            "anthropic": ChatAnthropic(
                model=MESSAGE_MODEL, api_key=KEY, base_url=world.provider.anthropic_url, max_tokens=50
            ),
        }
        for name, model in models.items():
            _sync(world, model, name)
        asyncio.run(_async(world, models))
        world.check(calls=8 * len(models))
