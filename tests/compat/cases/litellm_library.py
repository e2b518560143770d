"""LiteLLM as a library: completion and acompletion, plain and streamed, to OpenAI's wire and Anthropic's."""

from __future__ import annotations

import asyncio
from typing import Any

import litellm

from tests.compat.cases.metering import CHAT_MODEL, KEY, MESSAGE_MODEL, Metered, metered

Place = dict[str, Any]


def _asked(place: Place, prompt: str, *, stream: bool) -> dict[str, Any]:
    asked = {**place, "messages": [{"role": "user", "content": prompt}], "api_key": KEY, "max_tokens": 50}
    return asked | {"stream": True, "stream_options": {"include_usage": True}} if stream else asked


def _sync(world: Metered, place: Place, name: str) -> None:
    with world.asking(f"{name}-ann") as prompt:
        assert litellm.completion(**_asked(place, prompt, stream=False)).usage.total_tokens
    with world.asking(f"{name}-bob") as prompt:
        assert list(litellm.completion(**_asked(place, prompt, stream=True)))


async def _plain(world: Metered, place: Place, user: str) -> None:
    with world.asking(user) as prompt:
        assert (await litellm.acompletion(**_asked(place, prompt, stream=False))).usage.total_tokens


async def _streamed(world: Metered, place: Place, user: str) -> None:
    with world.asking(user) as prompt:
        assert [chunk async for chunk in await litellm.acompletion(**_asked(place, prompt, stream=True))]


async def _async(world: Metered, places: dict[str, Place]) -> None:
    await asyncio.gather(
        *(_plain(world, place, f"{name}-{user}") for name, place in places.items() for user in ("carol", "frank")),
        *(_streamed(world, place, f"{name}-{user}") for name, place in places.items() for user in ("dave", "grace")),
    )


if __name__ == "__main__":
    with metered() as world:
        places = {
            "openai": {"model": f"openai/{CHAT_MODEL}", "api_base": world.provider.openai_url},
            "anthropic": {"model": f"anthropic/{MESSAGE_MODEL}", "api_base": world.provider.anthropic_url},
        }
        for name, place in places.items():
            _sync(world, place, name)
        asyncio.run(_async(world, places))
        world.check(calls=6 * len(places))
