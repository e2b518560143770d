"""mistralai: chats plain and streamed, sync and async; `metering` asks for no results, which came with version 2."""

from __future__ import annotations

import asyncio
import importlib
import sys
from typing import Any

from tests.compat.cases.answering import INPUT, OUTPUT, Answered, answering, events, plain
from tests.compat.cases.metering import KEY, Metered, metered

_USAGE = {"prompt_tokens": INPUT, "completion_tokens": OUTPUT, "total_tokens": INPUT + OUTPUT}


def _whole(name: str) -> Answered:
    message = {"role": "assistant", "content": "There"}
    choices = [{"index": 0, "message": message, "finish_reason": "stop"}]
    told = {"object": "chat.completion", "created": 1, "model": "mistral-small", "choices": choices, "usage": _USAGE}
    return plain({"id": name, **told})


def _streams(name: str) -> Answered:
    def chunk(finish: str | None, **more: Any) -> dict[str, Any]:
        choices = [{"index": 0, "delta": {"role": "assistant", "content": "There"}, "finish_reason": finish}]
        told = {"object": "chat.completion.chunk", "created": 1, "model": "mistral-small", "choices": choices}
        return {"id": name, **told, **more}

    return events(chunk(None), chunk("stop", usage=_USAGE), "[DONE]")


def _client(url: str) -> Any:
    """Make a client of the class that was moved in version 2."""
    module: Any = importlib.import_module("mistralai")
    if not hasattr(module, "Mistral"):
        module = importlib.import_module("mistralai.client")
    return module.Mistral(api_key=KEY, server_url=url)


def _chat(prompt: str) -> dict[str, Any]:
    return {"model": "mistral-small", "messages": [{"role": "user", "content": prompt}]}


def _sync(world: Metered, url: str) -> None:
    client = _client(url)
    with world.asking("ann") as prompt:
        world.promises("ann", client.chat.complete(**_chat(prompt)))
    with world.asking("bob") as prompt:
        stream = client.chat.stream(**_chat(prompt))
        assert list(stream)
        world.promises("bob", stream)


async def _plain(world: Metered, client: Any, user: str) -> None:
    with world.asking(user) as prompt:
        world.promises(user, await client.chat.complete_async(**_chat(prompt)))


async def _streamed(world: Metered, client: Any, user: str) -> None:
    with world.asking(user) as prompt:
        stream = await client.chat.stream_async(**_chat(prompt))
        assert [event async for event in stream]
        world.promises(user, stream)


async def _async(world: Metered, url: str) -> None:
    client = _client(url)
    await asyncio.gather(_plain(world, client, "carol"), _streamed(world, client, "dave"))


if __name__ == "__main__":
    path = "/v1/chat/completions"
    with (
        metered(results="metering" not in sys.argv) as world,
        answering({path: _whole, f"{path}?stream": _streams}) as address,
    ):
        _sync(world, address)
        asyncio.run(_async(world, address))
        world.check_elsewhere((INPUT, OUTPUT))
