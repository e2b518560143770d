"""Rows: what runs after the handler has returned."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator

from fastapi import BackgroundTasks, Depends, FastAPI
from starlette.background import BackgroundTask
from starlette.background import BackgroundTasks as ManyTasks
from starlette.concurrency import iterate_in_threadpool
from starlette.responses import JSONResponse, Response, StreamingResponse

from payi_middleware import annotate, track_context
from tests.attribution.asgi_kit import Kit, Truth
from tests.attribution.asgi_table import DECOY, User, shape

# --- streaming bodies ----------------------------------------------------------------------------------------------


@shape("async streaming body", calls=3, in_headers=0)
def _async_stream(app: FastAPI, kit: Kit) -> None:
    async def body(user: str) -> AsyncIterator[bytes]:
        await kit.acall(Truth(user))
        yield b"half, "
        await kit.aask(Truth(user))
        yield b"whole"

    @app.post("/")
    async def handler(user: User) -> Response:
        return StreamingResponse(body(user))


@shape("sync streaming body", calls=3, in_headers=0)
def _sync_stream(app: FastAPI, kit: Kit) -> None:
    def body(user: str) -> Iterator[bytes]:
        kit.call(Truth(user))
        yield b"half, "
        kit.ask(Truth(user))
        yield b"whole"

    @app.post("/")
    async def handler(user: User) -> Response:
        return StreamingResponse(body(user))


@shape("def handler after def dependency, then a tracked body and background tasks", calls=5, in_headers=1, decoy=DECOY)
def _one_after_the_other(app: FastAPI, kit: Kit) -> None:
    def sign_in(user: User) -> str:
        annotate(user_id=user)
        return user

    def pieces(user: str) -> Iterator[bytes]:
        kit.ask(Truth(user, "body"))
        yield b"piece"

    async def body(user: str) -> AsyncIterator[bytes]:
        with track_context(use_case_name="body"):
            async for piece in iterate_in_threadpool(pieces(user)):
                yield piece

    @app.post("/")
    def handler(user: str = Depends(sign_in)) -> Response:
        kit.call(Truth(user))
        tasks = ManyTasks()
        tasks.add_task(kit.call, Truth(user))
        tasks.add_task(kit.acall, Truth(user))
        return StreamingResponse(body(user), background=tasks)


# --- background tasks ----------------------------------------------------------------------------------------------


@shape("async BackgroundTask of Starlette", calls=3, in_headers=1)
def _async_background(app: FastAPI, kit: Kit) -> None:
    @app.post("/")
    async def handler(user: User) -> Response:
        await kit.acall(Truth(user))
        return JSONResponse(None, background=BackgroundTask(kit.aask, Truth(user)))


@shape("def BackgroundTask of Starlette", calls=3, in_headers=1)
def _sync_background(app: FastAPI, kit: Kit) -> None:
    @app.post("/")
    def handler(user: User) -> Response:
        kit.call(Truth(user))
        return JSONResponse(None, background=BackgroundTask(kit.ask, Truth(user)))


@shape("BackgroundTasks of FastAPI", calls=4, in_headers=0)
def _fastapi_background(app: FastAPI, kit: Kit) -> None:
    @app.post("/")
    async def handler(user: User, tasks: BackgroundTasks) -> None:
        tasks.add_task(kit.ask, Truth(user))
        tasks.add_task(kit.aask, Truth(user))


@shape("BackgroundTasks of FastAPI, added by a dependency", calls=4, in_headers=2, decoy=DECOY)
def _dependency_background(app: FastAPI, kit: Kit) -> None:
    def remember(user: User, tasks: BackgroundTasks) -> None:
        annotate(user_id=user)
        tasks.add_task(kit.ask, Truth(user))

    @app.post("/", dependencies=[Depends(remember)])
    def handler(user: User) -> None:
        kit.ask(Truth(user))
