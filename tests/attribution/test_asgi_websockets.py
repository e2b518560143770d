"""A websocket's provider calls are its user's for as long as it is open."""

from __future__ import annotations

import anyio.to_thread
import httpx2
import pytest
from fastapi import FastAPI
from starlette.websockets import WebSocket

from payi_middleware import Settings, track_context
from payi_middleware.demo.provider import Provider
from tests.attribution.asgi_crowd import talk_all
from tests.attribution.asgi_kit import Kit, Truth
from tests.attribution.asgi_serving import SERVERS
from tests.attribution.asgi_table import Shape
from tests.attribution.asgi_world import assert_right, run

_WORDS = ("async", "thread", "tracked", "async")


async def _answer(kit: Kit, word: str, user: str) -> None:
    if word == "async":
        await kit.acall(Truth(user))
    elif word == "thread":
        await anyio.to_thread.run_sync(kit.call, Truth(user))
    else:
        with track_context(use_case_name="tracked"):
            await kit.acall(Truth(user, "tracked"))


def _build(app: FastAPI, kit: Kit) -> None:
    @app.websocket("/")
    async def talk(socket: WebSocket) -> None:
        await socket.accept()
        async for message in socket.iter_text():
            word, user = message.split()
            await _answer(kit, word, user)
            await socket.send_text(word)


@pytest.mark.parametrize("server", SERVERS)
def test_overlapping_websockets_keep_apart_on(server: str, provider: Provider, settings: Settings) -> None:
    shape = Shape(_build, len(_WORDS), 0)

    def drive(address: str) -> dict[str, httpx2.Response]:
        talk_all(address, _WORDS)
        return {}

    assert_right(run(shape, provider, settings, server=server, drive=drive), shape)
