"""A request whose result nobody else's can join gets it at once."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import anyio.to_thread
import pytest

from payi_middleware import PayiMiddleware, PayiWSGIMiddleware, Settings, parse_headers
from payi_middleware.delivery import gathering
from tests.doors.asgi_server import headers_of, http_scope, serve
from tests.doors.conftest import Ask
from tests.doors.wsgi_server import Exchange

Serve = Callable[[Settings, Ask], Mapping[str, str]]


def asgi(settings: Settings, ask: Ask) -> Mapping[str, str]:
    """Serve a request that makes a call, and return the response's headers."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await anyio.to_thread.run_sync(ask)
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"2")]})
        await send({"type": "http.response.body", "body": b"ok"})

    return headers_of(serve(PayiMiddleware(app, settings), http_scope())[0])


def wsgi(settings: Settings, ask: Ask) -> Mapping[str, str]:
    """Do the same by WSGI."""

    def app(environ: Any, start_response: Any) -> list[bytes]:
        ask()
        start_response("200 OK", [("Content-Length", "2")])
        return [b"ok"]

    served = Exchange(PayiWSGIMiddleware(app, settings))
    served.finish()
    return served.headers


@pytest.mark.parametrize("door", [asgi, wsgi])
def test_a_request_that_is_served_alone_waits_for_no_other_to_come(
    door: Serve, ask: Ask, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gathering, "_MOMENT", 3600.0)  # within which exchanges are read together
    monkeypatch.setattr(gathering, "_LONGEST", 3600.0)
    patient = settings.model_copy(update={"header_wait": 20.0})
    summaries = [parse_headers(door(patient, ask)) for _ in range(3)]
    assert [(summary.calls, summary.status) for summary in summaries] == [(1, "final")] * 3
