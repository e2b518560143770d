"""Many users at once, each on a connection of their own."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Sequence

import httpx2
from websockets.asyncio.client import connect

CROWD = int(os.environ.get("CROWD", "25"))
USERS = tuple(f"user-{number:02}" for number in range(CROWD))


def post_all(address: str, users: Sequence[str] = USERS, *, decoy: str | None = None) -> dict[str, httpx2.Response]:
    """Post `{"user": name}` for all users at the same time and return the answers by user.

    Args:
        decoy: what the identity header says of everybody; None: the user's own name.
    """

    async def one(client: httpx2.AsyncClient, user: str) -> httpx2.Response:
        identity = {"X-User-ID": decoy or user}
        response = await client.post(f"http://{address}/", json={"user": user}, headers=identity)
        assert response.status_code == 200, (response.status_code, response.text)
        return response

    async def everybody() -> Sequence[httpx2.Response]:
        limits = httpx2.Limits(max_connections=None, max_keepalive_connections=0)
        async with httpx2.AsyncClient(limits=limits, timeout=60.0, verify=False) as client:
            return await asyncio.gather(*(one(client, user) for user in users))

    return dict(zip(users, asyncio.run(everybody()), strict=True))


def talk_all(address: str, words: Sequence[str], users: Sequence[str] = USERS) -> None:
    """Open a websocket for all users at the same time, and exchange each word after the other on it."""

    async def one(user: str) -> None:
        identity = {"X-User-ID": user}
        async with connect(f"ws://{address}/", additional_headers=identity, open_timeout=60, proxy=None) as socket:
            for word in words:
                await socket.send(f"{word} {user}")
                assert await socket.recv() == word

    async def everybody() -> None:
        await asyncio.gather(*map(one, users))

    asyncio.run(everybody())
