"""Pay-i's HTTP API, answered from a ledger: https://docs.pay-i.com/reference"""

from __future__ import annotations

import hmac
import logging
from collections.abc import Callable
from typing import Any

from anyio.to_thread import run_sync
from starlette.applications import Starlette
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Route as StarletteRoute
from starlette.types import Receive, Scope, Send

from .bodies import answer, read_json, refusal
from .errors import LedgerError, ServiceError, invalid
from .ledger import Ledger
from .routing import Route, dispatch, raw_segments
from .wire import ingest_item

logger = logging.getLogger(__name__)

_HEALTH = "healthz"


def create_app(ledger: Ledger, *, api_key: str | None = None) -> Starlette:
    """Build the ASGI app that serves a ledger; closing the ledger is the caller's business.

    Args:
        ledger: where events are booked.
        api_key: what `xProxy-api-key` must say; without one, everybody is let in.
    """
    return Starlette(routes=[StarletteRoute("/{path:path}", _Service(ledger, api_key))])


class _Service:
    """The ASGI app: key, route, answer. Errors become Pay-i's error bodies, and never show a trace."""

    def __init__(self, ledger: Ledger, api_key: str | None) -> None:
        self._ledger = ledger
        self._api_key = api_key
        self._routes = (
            Route("GET", f"/{_HEALTH}", self._health),
            Route("POST", "/api/v1/ingest", self._ingest),
            Route("POST", "/api/v1/ingest/bulk", self._ingest_bulk),
            Route("GET", "/api/v1/requests/{request_id}/result", self._result),
            Route("GET", "/api/v1/requests/provider/{category}/{provider_response_id}/result", self._provider_result),
        )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope, receive)
        response = await self._answer(request)
        await response(scope, receive, send)

    async def _answer(self, request: Request) -> Response:
        try:
            self._check_key(request)
            return await dispatch(self._routes, request)
        except ServiceError as error:
            return refusal(error)
        except LedgerError as error:
            logger.error("%s", error)
            return refusal(ServiceError(503, "unexpected_error", "the ledger is not available"))
        except ClientDisconnect:  # nobody is left to read this
            return refusal(invalid("the body is incomplete"))
        except Exception as error:  # noqa: BLE001 - the last wall: a client sees an error body, the log the kind only
            logger.error("unexpected %s in %s", type(error).__name__, request.method)
            return refusal(ServiceError(500, "unexpected_error", "an unexpected error occurred"))

    def _check_key(self, request: Request) -> None:
        if self._api_key is None or raw_segments(request.scope) == [_HEALTH]:
            return
        given = request.headers.get("xproxy-api-key", "")
        if not hmac.compare_digest(given.encode("latin-1"), self._api_key.encode()):
            raise ServiceError(401, "invalid_api_key", "the header xProxy-api-key is missing or wrong")

    async def _health(self, _request: Request) -> Response:
        return answer({"status": "ok"})

    async def _ingest(self, request: Request) -> Response:
        item = ingest_item(await read_json(request), request.headers, request.query_params.get("id"))
        return answer(await run_sync(self._ledger.ingest, item))

    async def _ingest_bulk(self, request: Request) -> Response:
        items = await read_json(request)
        if items is None:  # Pay-i's SDK sends no body at all for an empty list
            items = []
        if not isinstance(items, list):
            raise invalid("the body must be a JSON array")
        wanted = "return=representation" in request.headers.get("prefer", "").lower()
        return answer(await run_sync(lambda: self._ledger.ingest_bulk(items, with_results=wanted)))

    async def _result(self, _request: Request, request_id: str) -> Response:
        return await self._found(lambda: self._ledger.result(request_id))

    async def _provider_result(self, _request: Request, category: str, provider_response_id: str) -> Response:
        return await self._found(lambda: self._ledger.result_by_provider_response_id(category, provider_response_id))

    async def _found(self, look_up: Callable[[], dict[str, Any] | None]) -> Response:
        if (result := await run_sync(look_up)) is None:
            raise ServiceError(404, "request_processing_error", "there is no such request")
        return answer(result)
