"""Endpoints for those who run the service; none needs a key."""

from __future__ import annotations

from typing import Literal

import anyio
from anyio.to_thread import run_sync
from starlette.responses import Response

from payi_middleware.service.errors import LedgerError, ServiceError
from payi_middleware.service.metrics import CONTENT_TYPE

from .bodies import answer
from .models.common import Answer
from .routing import Route, Told
from .service import Call

__all__ = ["ROUTES"]

_PATIENCE = 5.0
"""Seconds that the database may take to say that it is there."""


async def healthz(_call: Call) -> Response:
    """Say that the process is alive."""
    return answer({"status": "ok"})


async def readyz(call: Call) -> Response:
    """Say whether requests can be served: the database answers.

    Raises:
        ServiceError: 503, it does not.
    """
    try:
        with anyio.fail_after(_PATIENCE):
            await run_sync(call.ledger.check, abandon_on_cancel=True)
    except (LedgerError, TimeoutError) as error:
        raise ServiceError(503, "unexpected_error", "the ledger is not available") from error
    return answer({"status": "ready"})


async def metrics(call: Call) -> Response:
    """Tell Prometheus how the service is doing."""
    return Response(await run_sync(call.service.metrics.text), media_type=CONTENT_TYPE)


class Status(Answer):
    """How the service is."""

    status: Literal["ok", "ready"]


ROUTES = (
    Route("GET", "/healthz", healthz, open=True, answer=Status),
    Route("GET", "/readyz", readyz, open=True, answer=Status),
    Route("GET", "/metrics", metrics, open=True, answer=str, told=Told(media_type=CONTENT_TYPE)),
)
