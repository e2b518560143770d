"""Real apps fill in user, session and route below the middleware; the identity finds them there."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from fastapi import FastAPI, Request
from starlette.applications import Starlette
from starlette.authentication import AuthCredentials, AuthenticationBackend, SimpleUser
from starlette.middleware import Middleware
from starlette.middleware.authentication import AuthenticationMiddleware
from starlette.middleware.sessions import SessionMiddleware
from starlette.requests import HTTPConnection
from starlette.responses import PlainTextResponse
from starlette.routing import Route as PathRoute
from starlette.testclient import TestClient
from starlette.types import ASGIApp, Receive, Scope, Send

from payi_middleware.identity import AuthenticatedUser, Headers, Identity, Incoming, Session
from payi_middleware.settings import Settings


class AsgiRequest:
    """An ASGI request as a door shows it."""

    def __init__(self, scope: Scope) -> None:
        self.original = scope

    @property
    def peer(self) -> str | None:
        client = self.original.get("client")
        return client[0] if client else None

    @property
    def user(self) -> object | None:
        return self.original.get("user")

    @property
    def session(self) -> Mapping[str, Any] | None:
        return self.original.get("session")

    @property
    def route(self) -> str | None:
        return getattr(self.original.get("route"), "path", None)

    def header(self, name: str) -> str | None:
        wanted = name.lower().encode()
        return next((value.decode() for key, value in self.original["headers"] if key == wanted), None)

    def mentions(self, prefix: str) -> bool:
        return any(key.startswith(prefix.encode()) for key, _ in self.original["headers"])


class Door:
    """What is outermost: it begins the identity and asks before anything is known."""

    def __init__(self, app: ASGIApp, identity: Identity) -> None:
        self.app = app
        self.identity = identity

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            scope["identity"] = self.identity.of(AsgiRequest(scope))
            await scope["identity"].asettle()
        await self.app(scope, receive, send)


class ByBadge(AuthenticationBackend):
    async def authenticate(self, conn: HTTPConnection) -> tuple[AuthCredentials, SimpleUser] | None:
        badge = conn.headers.get("badge")
        return (AuthCredentials(), SimpleUser(badge)) if badge else None


async def chat(request: Request) -> PlainTextResponse:
    request.session.setdefault("session_id", "s1")
    identity = request.scope["identity"]
    await identity.asettle()
    return PlainTextResponse(f"{identity.annotations.user_id} {identity.annotations.session_id}")


def test_user_and_session_of_inner_starlette_layers_beat_headers(anyio_backend: str) -> None:
    app = Starlette(
        routes=[PathRoute("/chat", chat)],
        middleware=[
            Middleware(Door, identity=Identity([Headers(), AuthenticatedUser(), Session()], Settings())),
            Middleware(SessionMiddleware, secret_key="not so secret"),
            Middleware(AuthenticationMiddleware, backend=ByBadge()),
        ],
    )
    proxy = TestClient(app, backend=anyio_backend, client=("127.0.0.1", 50000))  # type: ignore[arg-type]
    direct = TestClient(app, backend=anyio_backend)  # type: ignore[arg-type]
    forged = {"X-User-ID": "mallory"}

    assert proxy.get("/chat", headers={"badge": "alice", **forged}).text == "alice s1"
    assert proxy.get("/chat", headers=forged).text == "mallory s1"
    assert direct.get("/chat", headers=forged).text == "None s1"
    assert direct.get("/chat", headers={"badge": "alice"}).text == "alice s1"


def test_an_async_resolver_serves_a_def_endpoint_of_fastapi() -> None:
    async def lookup(incoming: Incoming) -> str | None:
        return incoming.header("x-key")

    app = FastAPI()
    identity = Identity([lookup], Settings())

    @app.get("/")
    def endpoint(request: Request) -> str | None:
        found = identity.of(AsgiRequest(request.scope))
        found.settle()
        return found.annotations.user_id

    assert TestClient(app).get("/", headers={"X-Key": "alice"}).json() == "alice"
