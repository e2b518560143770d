"""Every place where the middleware can stand in an app, as one table."""

from __future__ import annotations

from collections.abc import Callable

from fastapi import FastAPI
from starlette.middleware.base import BaseHTTPMiddleware, RequestResponseEndpoint
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp

from payi_middleware import PayiMiddleware, Settings
from payi_middleware.fastapi import instrument_app

Stack = Callable[[FastAPI, Settings], ASGIApp]


async def _pass_on(request: Request, call_next: RequestResponseEndpoint) -> Response:
    return await call_next(request)


def outermost(app: FastAPI, settings: Settings) -> ASGIApp:
    """Put the middleware where most apps have it."""
    app.add_middleware(PayiMiddleware, settings=settings)
    return app


def _outside_base_http(app: FastAPI, settings: Settings) -> ASGIApp:
    app.add_middleware(BaseHTTPMiddleware, dispatch=_pass_on)
    app.add_middleware(BaseHTTPMiddleware, dispatch=_pass_on)
    app.add_middleware(PayiMiddleware, settings=settings)
    return app


def _inside_base_http(app: FastAPI, settings: Settings) -> ASGIApp:
    app.add_middleware(PayiMiddleware, settings=settings)
    app.add_middleware(BaseHTTPMiddleware, dispatch=_pass_on)
    return app


def _twice(app: FastAPI, settings: Settings) -> ASGIApp:
    app.add_middleware(PayiMiddleware, settings=settings)
    app.add_middleware(BaseHTTPMiddleware, dispatch=_pass_on)
    app.add_middleware(PayiMiddleware, settings=settings)
    return app


def _both_doors(app: FastAPI, settings: Settings) -> ASGIApp:
    app.add_middleware(PayiMiddleware, settings=settings)
    instrument_app(app, settings)
    instrument_app(app, settings)
    return app


def _by_hand(app: FastAPI, settings: Settings) -> ASGIApp:
    return PayiMiddleware(app, settings)


def _mounted(app: FastAPI, settings: Settings) -> ASGIApp:
    root = FastAPI()
    root.mount("/", app)
    root.add_middleware(PayiMiddleware, settings=settings)
    return root


def _mounted_with_its_own(app: FastAPI, settings: Settings) -> ASGIApp:
    app.add_middleware(PayiMiddleware, settings=settings)
    return _mounted(app, settings)


def _mounted_with_other_settings(app: FastAPI, settings: Settings) -> ASGIApp:
    other = settings.model_copy(update={"ledger": settings.ledger.with_name("other.db")})
    app.add_middleware(PayiMiddleware, settings=other)
    return _mounted(app, settings)


def _only_mounted(app: FastAPI, settings: Settings) -> ASGIApp:
    app.add_middleware(PayiMiddleware, settings=settings)
    root = FastAPI()
    root.mount("/", app)
    return root


STACKS: dict[str, Stack] = {
    "outside BaseHTTPMiddleware": _outside_base_http,
    "inside BaseHTTPMiddleware": _inside_base_http,
    "twice": _twice,
    "add_middleware and instrument_app": _both_doors,
    "around the app by hand": _by_hand,
    "around a mounted app": _mounted,
    "around a mounted app that has its own": _mounted_with_its_own,
    "around a mounted app that has its own with other settings": _mounted_with_other_settings,
    "in a mounted app only": _only_mounted,
}
