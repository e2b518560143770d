"""Rows: handlers of either colour, what they hand over to, and their dependencies."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator

from fastapi import Depends, FastAPI
from starlette.middleware.base import BaseHTTPMiddleware, RequestResponseEndpoint
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from payi_middleware import annotate, track_context
from tests.attribution.asgi_bridges import BRIDGES, Bridge
from tests.attribution.asgi_kit import Kit, Truth
from tests.attribution.asgi_table import DECOY, Build, User, shape


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


for _name, _bridge in BRIDGES.items():
    shape(_name, calls=_bridge.calls + 1)(_bridged(_bridge))

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


def _async_handler_after(dependency: Callable[..., object]) -> Build:
    def build(app: FastAPI, kit: Kit) -> None:
        @app.post("/")
        async def handler(name: str = Depends(dependency)) -> None:
            await kit.acall(Truth(name))

    return build


def _def_handler_after(dependency: Callable[..., object]) -> Build:
    def build(app: FastAPI, kit: Kit) -> None:
        @app.post("/")
        def handler(name: str = Depends(dependency)) -> None:
            kit.call(Truth(name))

    return build


for _name, _build in {
    "async handler after async dependency": _async_handler_after(_async_sign_in),
    "async handler after def dependency": _async_handler_after(_sync_sign_in),
    "async handler after async dependency with yield": _async_handler_after(_async_session),
    "def handler after async dependency": _def_handler_after(_async_sign_in),
    "def handler after def dependency": _def_handler_after(_sync_sign_in),
    "def handler after def dependency with yield": _def_handler_after(_sync_session),
}.items():
    shape(_name, calls=1, decoy=DECOY)(_build)


@shape("calls in dependencies, before and after the handler", calls=6, in_headers=3)
def _calling_dependencies(app: FastAPI, kit: Kit) -> None:
    async def session(user: User) -> AsyncIterator[None]:
        await kit.acall(Truth(user))
        yield
        await kit.aask(Truth(user))

    def sync_session(user: User) -> Iterator[None]:
        kit.ask(Truth(user))
        yield
        kit.call(Truth(user))

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


@shape("calls in a BaseHTTPMiddleware, before and after the handler", calls=5)
def _calling_middleware(app: FastAPI, kit: Kit) -> None:
    async def around(request: Request, call_next: RequestResponseEndpoint) -> Response:
        truth = Truth(request.headers["X-User-ID"])
        with track_context(use_case_name="around"):
            await kit.acall(Truth(truth.user, "around"))
            response = await call_next(request)
        await kit.aask(truth)
        return response

    app.add_middleware(BaseHTTPMiddleware, dispatch=around)

    @app.post("/")
    def handler(user: User) -> None:
        kit.ask(Truth(user, "around"))
