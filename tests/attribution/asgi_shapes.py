"""Every place of an ASGI app from which a provider is called, as one table."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass
from typing import Annotated

from fastapi import BackgroundTasks, Body, Depends, FastAPI
from starlette.background import BackgroundTask, BackgroundTasks as ManyTasks
from starlette.concurrency import iterate_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse

from payi_middleware import annotate, track_context

from tests.attribution.asgi_bridges import BRIDGES, Bridge
from tests.attribution.asgi_kit import Kit, Truth

User = Annotated[str, Body(embed=True)]
Build = Callable[[FastAPI, Kit], None]
DECOY = "front-desk"
"""Whom the identity header names where the app itself knows better."""


@dataclass(frozen=True, slots=True)
class Shape:
    """One row.

    Args:
        build: adds `POST /` to an app.
        calls: provider calls that each request makes.
        in_headers: how many of them are over when the response starts.
        decoy: whom the identity header names; None: the user.
        trio: whether it runs on trio, too.
    """

    build: Build
    calls: int = 2
    in_headers: int = 2
    decoy: str | None = None
    trio: bool = True


SHAPES: dict[str, Shape] = {}


def shape(
    name: str, calls: int = 2, in_headers: int | None = None, decoy: str | None = None
) -> Callable[[Build], Build]:
    def add(build: Build) -> Build:
        SHAPES[name] = Shape(build, calls, calls if in_headers is None else in_headers, decoy)
        return build

    return add


# --- handlers ------------------------------------------------------------------------------------------------------


@shape("async handler")
def _async_handler(app: FastAPI, kit: Kit) -> None:
    @app.post("/")
    async def handler(user: User) -> None:
        await kit.aask(Truth(user))


@shape("def handler")
def _def_handler(app: FastAPI, kit: Kit) -> None:
    @app.post("/")
    def handler(user: User) -> None:
        kit.ask(Truth(user))


@shape("Starlette handler")
def _starlette_handler(app: FastAPI, kit: Kit) -> None:
    async def handler(request: Request) -> Response:
        await kit.aask(Truth((await request.json())["user"]))
        return JSONResponse(None)

    app.add_route("/", handler, methods=["POST"])


def _bridged(bridge: Bridge) -> Build:
    def build(app: FastAPI, kit: Kit) -> None:
        @app.post("/")
        async def handler(user: User) -> None:
            with track_context(use_case_name="around"):
                await bridge.run(kit, Truth(user, "around"))
            await kit.acall(Truth(user))

    return build


SHAPES.update(
    (name, Shape(_bridged(row), row.calls + 1, row.calls + 1, trio=row.trio)) for name, row in BRIDGES.items()
)

# --- dependencies --------------------------------------------------------------------------------------------------


async def _async_sign_in(user: User) -> str:
    annotate(user_id=user)
    return user


def _sync_sign_in(user: User) -> str:
    annotate(user_id=user)
    return user


async def _async_session(user: User) -> AsyncIterator[str]:
    annotate(user_id=user)
    yield user


def _sync_session(user: User) -> Iterator[str]:
    annotate(user_id=user)
    yield user


_DEPENDENCIES = {
    "async dependency": _async_sign_in,
    "def dependency": _sync_sign_in,
    "async dependency with yield": _async_session,
    "def dependency with yield": _sync_session,
}


def _async_handler_after(dependency: Callable[..., object]) -> Build:
    def build(app: FastAPI, kit: Kit) -> None:
        @app.post("/")
        async def handler(name: Annotated[str, Depends(dependency)]) -> None:
            await kit.aask(Truth(name))

    return build


def _def_handler_after(dependency: Callable[..., object]) -> Build:
    def build(app: FastAPI, kit: Kit) -> None:
        @app.post("/")
        def handler(name: Annotated[str, Depends(dependency)]) -> None:
            kit.ask(Truth(name))

    return build


for _name, _dependency in _DEPENDENCIES.items():
    shape(f"async handler after {_name}", decoy=DECOY)(_async_handler_after(_dependency))
    shape(f"def handler after {_name}", decoy=DECOY)(_def_handler_after(_dependency))


@shape("calls in dependencies, before and after the handler", calls=8, in_headers=4)
def _calling_dependencies(app: FastAPI, kit: Kit) -> None:
    async def session(user: User) -> AsyncIterator[None]:
        await kit.aask(Truth(user))
        yield
        await kit.aask(Truth(user))

    def sync_session(user: User) -> Iterator[None]:
        kit.ask(Truth(user))
        yield
        kit.ask(Truth(user))

    @app.post("/", dependencies=[Depends(session), Depends(sync_session)])
    async def handler() -> Response:
        return Response()


@shape("track_context around the yield of an async dependency", decoy=DECOY)
def _tracking_dependency(app: FastAPI, kit: Kit) -> None:
    async def session(user: User) -> AsyncIterator[None]:
        with track_context(user_id=user, use_case_name="session"):
            yield

    @app.post("/", dependencies=[Depends(session)])
    async def handler(user: User) -> None:
        await kit.aask(Truth(user, "session"))


# --- streaming bodies ----------------------------------------------------------------------------------------------


@shape("async streaming body", calls=4, in_headers=0)
def _async_stream(app: FastAPI, kit: Kit) -> None:
    async def body(user: str) -> AsyncIterator[bytes]:
        await kit.aask(Truth(user))
        yield b"half, "
        await kit.aask(Truth(user))
        yield b"whole"

    @app.post("/")
    async def handler(user: User) -> Response:
        return StreamingResponse(body(user))


@shape("sync streaming body", calls=4, in_headers=0)
def _sync_stream(app: FastAPI, kit: Kit) -> None:
    def body(user: str) -> Iterator[bytes]:
        kit.ask(Truth(user))
        yield b"half, "
        kit.ask(Truth(user))
        yield b"whole"

    @app.post("/")
    async def handler(user: User) -> Response:
        return StreamingResponse(body(user))


@shape("streaming body below a track_context of its own", calls=5, in_headers=1)
def _tracked_stream(app: FastAPI, kit: Kit) -> None:
    def pieces(user: str) -> Iterator[bytes]:
        kit.ask(Truth(user, "body"))
        yield b"piece"

    async def body(user: str) -> AsyncIterator[bytes]:
        with track_context(use_case_name="body"):
            await kit.aask(Truth(user, "body"))
            async for piece in iterate_in_threadpool(pieces(user)):
                yield piece

    @app.post("/")
    def handler(user: User) -> Response:
        kit.call(Truth(user))
        return StreamingResponse(body(user))


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


@shape("BackgroundTasks of Starlette after a streamed body", calls=6, in_headers=0)
def _stream_and_background(app: FastAPI, kit: Kit) -> None:
    async def body(user: str) -> AsyncIterator[bytes]:
        await kit.aask(Truth(user))
        yield b"all"

    @app.post("/")
    async def handler(user: User) -> Response:
        tasks = ManyTasks()
        tasks.add_task(kit.ask, Truth(user))
        tasks.add_task(kit.aask, Truth(user))
        return StreamingResponse(body(user), background=tasks)


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
