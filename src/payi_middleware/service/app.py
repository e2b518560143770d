"""Pay-i's HTTP API, answered from a ledger: https://docs.pay-i.com/reference"""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from time import perf_counter

from anyio.to_thread import run_sync
from starlette.applications import Starlette
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.types import Message, Receive, Scope, Send
from starlette.websockets import WebSocketClose

from .accounts import applications
from .api import categories, ingest, kpis, leases, limits, operation, requests, use_cases
from .api.bodies import refusal
from .api.keyring import Keyring, OneKey, StoredKeys
from .api.openapi import Description
from .api.routing import Route, find, raw_segments
from .api.service import Service, read
from .config import ServiceConfig
from .dashboard.door import Door, OneKeyBook, StoredKeyBook, Visitor
from .dashboard.site import Site
from .errors import LedgerError, ServiceError, invalid
from .ledger import Ledger
from .proxy import endpoint as proxy

logger = logging.getLogger(__name__)
access = logging.getLogger("payi_middleware.service.access")

API_ROUTES: tuple[Route, ...] = (
    *ingest.ROUTES,
    *operation.ROUTES,
    *requests.ROUTES,
    *limits.ROUTES,
    *leases.ROUTES,
    *use_cases.ROUTES,
    *kpis.ROUTES,
    *categories.ROUTES,
    *proxy.ROUTES,
)
DESCRIPTION = Description(API_ROUTES)
ROUTES: tuple[Route, ...] = (*API_ROUTES, DESCRIPTION.route, proxy.ELSEWHERE)


def create_app(
    ledger: Ledger,
    *,
    api_key: str | None = None,
    stored_keys: bool = False,
    config: ServiceConfig | None = None,
    closes_ledger: bool = False,
) -> Starlette:
    """Build the ASGI app that serves a ledger.

    Args:
        ledger: where events are booked.
        api_key: what `xProxy-api-key` must say for the ledger's own application; without one, everybody is let in.
        stored_keys: let in who has one of the keys in the database instead, each for its own application.
        config: how it behaves.
        closes_ledger: close the ledger when the app's lifespan ends; else that is the caller's business.

    Raises:
        ConfigurationError: a setting of `config` is wrong.
    """
    keyring: Keyring = StoredKeys(ledger.key_holder) if stored_keys else OneKey(ledger.application_id, api_key)
    config = config or ServiceConfig()
    service = Service(ledger, keyring, config)
    site = Site(ledger, _door(ledger, api_key, stored_keys=stored_keys, opened=config.open_dashboard))

    @asynccontextmanager
    async def lifespan(_app: Starlette) -> AsyncIterator[None]:
        service.start()
        try:
            yield
        finally:
            await service.leave()
            await run_sync(service.close)
            if closes_ledger:
                ledger.close()

    app = Starlette(lifespan=lifespan)
    # Whatever the path: a route's pattern ends at a line break, which may be part of a name.
    app.router.default = _Api(service, (*ROUTES, *site.routes))
    return app


def _door(ledger: Ledger, api_key: str | None, *, stored_keys: bool, opened: bool) -> Door:
    """Return who is let in to the dashboard: the same who may use the API."""
    own = Visitor(ledger.application_id, applications.DEFAULT, signed_in=False)
    if stored_keys:
        return Door(StoredKeyBook(ledger), own if opened else None)
    if api_key is None:
        return Door(None, own)
    return Door(OneKeyBook(ledger.application_id, applications.DEFAULT, api_key), own if opened else None)


class _Api:
    """The ASGI app: key, route, answer. Errors become Pay-i's error bodies, and never show a trace."""

    def __init__(self, service: Service, routes: Sequence[Route]) -> None:
        self._service = service
        self._routes = routes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "websocket":
            await WebSocketClose()(scope, receive, send)
            return
        request = Request(scope, receive)
        began = perf_counter()
        endpoint, response = await self._answer(request)

        async def begin(message: Message) -> None:
            if message["type"] == "http.response.start":
                self._note(endpoint, request, message["status"], perf_counter() - began)
            await send(message)

        await response(scope, receive, begin)

    def _note(self, endpoint: str, request: Request, status: int, seconds: float) -> None:
        """Count and log a request once its answer begins: a provider's may be long in coming."""
        self._service.metrics.answered(endpoint, _method(request), status, seconds)
        access.info(
            "answered",
            extra={
                "endpoint": endpoint,
                "method": _method(request),
                "status": status,
                "milliseconds": round(seconds * 1000, 1),
            },
        )

    async def _answer(self, request: Request) -> tuple[str, Response]:
        endpoint = _NOWHERE
        try:
            try:
                route, arguments = find(self._routes, raw_segments(request.scope), request.method)
            except ServiceError:
                await self._service.call(request)  # who has no key learns nothing of what there is
                raise
            endpoint = route.path
            call = self._service.open_call(request) if route.open else await self._service.call(request)
            told = await read(route, call)
            return endpoint, await route.endpoint(call, *arguments, *told)
        except ServiceError as error:
            return endpoint, refusal(error)
        except LedgerError as error:
            logger.error("%s", error)
            return endpoint, refusal(ServiceError(503, "unexpected_error", "the ledger is not available"))
        except ClientDisconnect:  # nobody is left to read this
            return endpoint, refusal(invalid("the body is incomplete"))
        except Exception as error:  # noqa: BLE001 - the last wall: a client sees an error body, the log the kind only
            logger.error("unexpected %s in %s", type(error).__name__, request.method)
            return endpoint, refusal(ServiceError(500, "unexpected_error", "an unexpected error occurred"))


_NOWHERE = "(none)"
_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})


def _method(request: Request) -> str:
    """Return a request's method for logs and counters, where anybody could put anything."""
    return request.method if request.method in _METHODS else "(other)"
