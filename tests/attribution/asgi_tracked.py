"""Rows: `@track` on everything that can be called, which never leaks to whoever consumes it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import aclosing

from fastapi import FastAPI
from starlette.responses import Response, StreamingResponse

from payi_middleware import track
from tests.attribution.asgi_kit import Kit, Truth
from tests.attribution.asgi_table import User, shape


@track(use_case_name="left")
def left(kit: Kit, user: str) -> Iterator[bytes]:
    kit.ask(Truth(user, "left"))
    yield b"1"
    kit.call(Truth(user, "left"))
    yield b"2"


@track(use_case_name="right")
def right(kit: Kit, user: str) -> Iterator[bytes]:
    kit.call(Truth(user, "right"))
    yield b"1"
    kit.call(Truth(user, "right"))
    yield b"2"


@track(use_case_name="aleft")
async def aleft(kit: Kit, user: str) -> AsyncIterator[bytes]:
    await kit.acall(Truth(user, "aleft"))
    yield b"1"
    await kit.aask(Truth(user, "aleft"))
    yield b"2"


@shape("tracked function and tracked coroutine", calls=5)
def _functions(app: FastAPI, kit: Kit) -> None:
    @track(use_case_name="function")
    def function(user: str) -> None:
        kit.ask(Truth(user, "function"))

    @track(use_case_name="coroutine")
    async def coroutine(user: str) -> None:
        await asyncio.to_thread(function, user)
        await kit.acall(Truth(user, "coroutine"))

    @app.post("/")
    async def handler(user: User) -> None:
        await asyncio.gather(coroutine(user), kit.acall(Truth(user)))
        await kit.acall(Truth(user))


@shape("tracked handler", calls=3)
def _tracked_handler(app: FastAPI, kit: Kit) -> None:
    @app.post("/")
    @track(use_case_name="handler")
    async def handler(user: User) -> None:
        await asyncio.to_thread(kit.call, Truth(user, "handler"))
        await kit.aask(Truth(user, "handler"))


@shape("tracked generators in step", calls=8)
def _generators(app: FastAPI, kit: Kit) -> None:
    @app.post("/")
    def handler(user: User) -> None:
        for _ in zip(left(kit, user), right(kit, user), strict=True):
            kit.call(Truth(user))
        kit.call(Truth(user))


@shape("tracked generator left half-way", calls=4)
def _abandoned_generator(app: FastAPI, kit: Kit) -> None:
    @app.post("/")
    def handler(user: User) -> None:
        pieces = left(kit, user)
        next(pieces)
        kit.call(Truth(user))
        del pieces
        kit.call(Truth(user))


@shape("tracked async generator, whole and left half-way", calls=8)
def _async_generator(app: FastAPI, kit: Kit) -> None:
    @app.post("/")
    async def handler(user: User) -> None:
        async for _ in aleft(kit, user):
            await kit.acall(Truth(user))
        async with aclosing(aleft(kit, user)) as pieces:  # type: ignore[type-var]
            await anext(pieces)
            await kit.acall(Truth(user))
        await kit.acall(Truth(user))


@shape("tracked async generator as the body", calls=3, in_headers=0)
def _async_body(app: FastAPI, kit: Kit) -> None:
    @app.post("/")
    async def handler(user: User) -> Response:
        return StreamingResponse(aleft(kit, user))


@shape("tracked generator as the body", calls=3, in_headers=0)
def _body(app: FastAPI, kit: Kit) -> None:
    @app.post("/")
    def handler(user: User) -> Response:
        return StreamingResponse(left(kit, user))
