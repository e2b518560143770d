"""pydantic-ai on openai and anthropic: run_sync, run and run_stream, and an output that is called as a tool."""

from __future__ import annotations

import asyncio
from typing import Any

from pydantic import BaseModel
from pydantic_ai import Agent
from pydantic_ai.models.anthropic import AnthropicModel
from pydantic_ai.models.openai import OpenAIChatModel
from pydantic_ai.providers.anthropic import AnthropicProvider
from pydantic_ai.providers.openai import OpenAIProvider

from payi_middleware.demo.behaviour import HEADER
from tests.compat.cases.metering import CHAT_MODEL, KEY, MESSAGE_MODEL, Metered, metered


class Place(BaseModel):
    """What the stand-in's tool call says."""

    city: str


def _models(world: Metered) -> dict[str, Any]:
    at_openai = OpenAIProvider(base_url=world.provider.openai_url, api_key=KEY)
    at_anthropic = AnthropicProvider(base_url=world.provider.anthropic_url, api_key=KEY)
    return {
        "openai": OpenAIChatModel(CHAT_MODEL, provider=at_openai),
        "anthropic": AnthropicModel(MESSAGE_MODEL, provider=at_anthropic),
    }


async def _plain(world: Metered, agent: Any, user: str) -> None:
    with world.asking(user) as prompt:
        assert (await agent.run(prompt)).output


async def _streamed(world: Metered, agent: Any, user: str) -> None:
    with world.asking(user) as prompt:
        async with agent.run_stream(prompt) as stream:
            assert [text async for text in stream.stream_text()]


async def _structured(world: Metered, model: Any, user: str) -> None:
    called = {"extra_headers": {HEADER: '{"tool_call": "final_result"}'}}
    agent: Any = Agent(model, output_type=Place, model_settings=called)
    with world.asking(user) as prompt:
        assert (await agent.run(prompt)).output == Place(city="Oslo")


async def _async(world: Metered, model: Any, name: str) -> None:
    agent: Any = Agent(model)
    await asyncio.gather(
        *(_plain(world, agent, f"{name}-{user}") for user in ("carol", "frank")),
        *(_streamed(world, agent, f"{name}-{user}") for user in ("dave", "grace")),
        _structured(world, model, f"{name}-erin"),
    )


if __name__ == "__main__":
    with metered() as world:
        for name, model in _models(world).items():
            with world.asking(f"{name}-ann") as prompt:
                assert Agent(model).run_sync(prompt).output
        for name, model in _models(world).items():  # anew: their clients' connections belong to one event loop
            asyncio.run(_async(world, model, name))
        world.check(calls=12)
