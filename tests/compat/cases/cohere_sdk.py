"""cohere: chats of both versions of its API, plain and streamed, sync and async; `metering` asks for no results."""

from __future__ import annotations

import asyncio
import json
import sys
from typing import Any

import cohere

from tests.compat.cases.answering import INPUT, OUTPUT, Answered, answering, events, plain
from tests.compat.cases.metering import KEY, Metered, metered

_USAGE = {
    "tokens": {"input_tokens": 10 * INPUT, "output_tokens": OUTPUT + 1},
    "billed_units": {"input_tokens": INPUT, "output_tokens": OUTPUT},
}


def _whole(name: str) -> Answered:
    message = {"role": "assistant", "content": [{"type": "text", "text": "There"}]}
    return plain({"id": name, "finish_reason": "COMPLETE", "message": message, "usage": _USAGE})


def _streams(name: str) -> Answered:
    start = {"role": "assistant", "content": [], "tool_plan": "", "tool_calls": [], "citations": []}
    return events(
        {"type": "message-start", "id": name, "delta": {"message": start}},
        {"type": "content-delta", "index": 0, "delta": {"message": {"content": {"text": "There"}}}},
        {"type": "message-end", "delta": {"finish_reason": "COMPLETE", "usage": _USAGE}},
    )


def _old(name: str) -> dict[str, Any]:
    told = {"text": "There", "chat_history": [], "finish_reason": "COMPLETE", "response_id": name}
    return {"generation_id": name, **told, "meta": {"api_version": {"version": "1"}, **_USAGE}}


def _whole_old(name: str) -> Answered:
    return plain(_old(name))


def _streams_old(name: str) -> Answered:
    lines: list[dict[str, Any]] = [
        {"is_finished": False, "event_type": "stream-start", "generation_id": name},
        {"is_finished": False, "event_type": "text-generation", "text": "There"},
        {"is_finished": True, "event_type": "stream-end", "finish_reason": "COMPLETE", "response": _old(name)},
    ]
    return Answered([json.dumps(line).encode() + b"\n" for line in lines], "application/stream+json")


def _chat(prompt: str) -> dict[str, Any]:
    return {"model": "command-r", "messages": [{"role": "user", "content": prompt}]}


def _sync(world: Metered, url: str) -> None:
    client, old = cohere.ClientV2(KEY, base_url=url), cohere.Client(KEY, base_url=url)
    with world.asking("ann") as prompt:
        world.promises("ann", client.chat(**_chat(prompt)))
    with world.asking("bob") as prompt:
        world.promises("bob", list(client.chat_stream(**_chat(prompt)))[-1])
    with world.asking("erin") as prompt:
        world.promises("erin", old.chat(model="command-r", message=prompt))
    with world.asking("frank") as prompt:
        world.promises("frank", list(old.chat_stream(model="command-r", message=prompt))[-1])


async def _plain(world: Metered, client: Any, user: str) -> None:
    with world.asking(user) as prompt:
        world.promises(user, await client.chat(**_chat(prompt)))


async def _streamed(world: Metered, client: Any, user: str) -> None:
    with world.asking(user) as prompt:
        world.promises(user, [event async for event in client.chat_stream(**_chat(prompt))][-1])


async def _async(world: Metered, url: str) -> None:
    async with cohere.AsyncClientV2(KEY, base_url=url) as client:
        await asyncio.gather(_plain(world, client, "carol"), _streamed(world, client, "dave"))


if __name__ == "__main__":
    answers = {"/v2/chat": _whole, "/v2/chat?stream": _streams, "/v1/chat": _whole_old, "/v1/chat?stream": _streams_old}
    with metered(results="metering" not in sys.argv) as world, answering(answers) as address:
        _sync(world, address)
        asyncio.run(_async(world, address))
        world.check_elsewhere((INPUT, OUTPUT))
