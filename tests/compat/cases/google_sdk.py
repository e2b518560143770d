"""google-genai: plain and streamed, sync and async (on aiohttp where that is); `metering` asks for no results."""

from __future__ import annotations

import asyncio
import sys
from typing import Any

from google import genai
from google.genai import types

from tests.compat.cases.answering import INPUT, OUTPUT, Answered, answering, events, plain
from tests.compat.cases.metering import KEY, Metered, metered

_MODEL = "gemini-2.5-flash"
_USAGE = {"promptTokenCount": INPUT, "candidatesTokenCount": OUTPUT, "totalTokenCount": INPUT + OUTPUT}


def _content(name: str) -> dict[str, Any]:
    candidate = {"content": {"role": "model", "parts": [{"text": "There"}]}, "finishReason": "STOP", "index": 0}
    return {"candidates": [candidate], "usageMetadata": _USAGE, "modelVersion": _MODEL, "responseId": name}


def _whole(name: str) -> Answered:
    return plain(_content(name))


def _streams(name: str) -> Answered:
    return events(_content(name), _content(name))


def _client(url: str) -> Any:
    return genai.Client(api_key=KEY, http_options=types.HttpOptions(base_url=url))


def _sync(world: Metered, client: Any) -> None:
    with world.asking("ann") as prompt:
        world.promises("ann", client.models.generate_content(model=_MODEL, contents=prompt))
    with world.asking("bob") as prompt:
        world.promises("bob", list(client.models.generate_content_stream(model=_MODEL, contents=prompt))[-1])


async def _plain(world: Metered, client: Any, user: str) -> None:
    with world.asking(user) as prompt:
        world.promises(user, await client.aio.models.generate_content(model=_MODEL, contents=prompt))


async def _streamed(world: Metered, client: Any, user: str) -> None:
    with world.asking(user) as prompt:
        stream = await client.aio.models.generate_content_stream(model=_MODEL, contents=prompt)
        world.promises(user, [chunk async for chunk in stream][-1])


async def _async(world: Metered, client: Any) -> None:
    await asyncio.gather(_plain(world, client, "carol"), _streamed(world, client, "dave"))


if __name__ == "__main__":
    paths = [f"/{version}/models/{_MODEL}" for version in ("v1", "v1beta")]  # before version 3 it asked for the beta
    answers = {f"{path}:generateContent": _whole for path in paths}
    answers |= {f"{path}:streamGenerateContent": _streams for path in paths}
    with metered(results="metering" not in sys.argv) as world, answering(answers) as address:
        _sync(world, _client(address))
        asyncio.run(_async(world, _client(address)))
        world.check_elsewhere((INPUT, OUTPUT))
