"""aiohttp without any SDK: plain and streamed, read in several ways, and a stream that is asked for its usage."""

from __future__ import annotations

import asyncio
import socket
from typing import Any

import aiohttp
from aiohttp.abc import AbstractResolver

from tests.compat.cases.metering import CHAT_MODEL, Metered, metered


class _Here(AbstractResolver):
    """Takes every host's name to be this machine's: only known hosts are asked for usage."""

    async def resolve(self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET) -> Any:
        return [{"hostname": host, "host": "127.0.0.1", "port": port, "family": socket.AF_INET, "proto": 0, "flags": 0}]

    async def close(self) -> None:
        pass


def _request(world: Metered, prompt: str, **more: Any) -> dict[str, Any]:
    asked = {"model": CHAT_MODEL, "messages": [{"role": "user", "content": prompt}], **more}
    return {"url": f"http://api.openai.com:{world.provider.port}/v1/chat/completions", "json": asked}


async def _plain(world: Metered, session: aiohttp.ClientSession, user: str) -> None:
    with world.asking(user) as prompt:
        async with session.post(**_request(world, prompt)) as response:
            assert (await response.json())["usage"]


async def _asking(world: Metered, session: aiohttp.ClientSession, user: str) -> None:
    with world.asking(user) as prompt:
        options = {"include_usage": True}
        async with session.post(**_request(world, prompt, stream=True, stream_options=options)) as response:
            assert b'"usage":{' in (await response.read()).replace(b" ", b"")


async def _silent(world: Metered, session: aiohttp.ClientSession, user: str) -> None:
    with world.asking(user) as prompt:
        async with session.post(**_request(world, prompt, stream=True)) as response:
            lines = [line async for line in response.content]
    assert lines[-2:] == [b"data: [DONE]\n", b"\n"]
    assert not [line for line in lines if b'"usage":{' in line.replace(b" ", b"")]


async def _silent_chunks(world: Metered, session: aiohttp.ClientSession, user: str) -> None:
    with world.asking(user) as prompt:
        async with session.post(**_request(world, prompt, stream=True)) as response:
            body = b"".join([chunk async for chunk, _ in response.content.iter_chunks()])
    assert body.endswith(b"data: [DONE]\n\n")
    assert b'"usage":{' not in body.replace(b" ", b"")


async def _all(world: Metered) -> None:
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(resolver=_Here())) as session:
        await asyncio.gather(
            _plain(world, session, "ann"),
            _asking(world, session, "bob"),
            _silent(world, session, "carol"),
            _silent_chunks(world, session, "dave"),
        )


if __name__ == "__main__":
    with metered() as world:
        asyncio.run(_all(world))
        world.check(calls=4)
