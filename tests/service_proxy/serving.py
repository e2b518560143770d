"""The service as it is served, in this process, and what the tests look at in its answers."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import uvicorn
from starlette.types import ASGIApp

from payi_middleware.service.app import create_app
from payi_middleware.service.config import ServiceConfig
from payi_middleware.service.ledger import Ledger

KEY = "secret-of-a-test"
LOCAL = ServiceConfig(allowed_hosts=("127.0.0.1",))


class _Server(uvicorn.Server):
    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.listening = threading.Event()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self.listening.set()


@contextmanager
def served(app: ASGIApp, graceful: int = 10) -> Iterator[str]:
    """Serve an app as `payi-middleware serve` does, and give its address.

    Args:
        graceful: seconds that requests under way are given at the end.
    """
    with socket.create_server(("127.0.0.1", 0)) as listener:
        config = uvicorn.Config(app, log_level="critical", access_log=False, timeout_graceful_shutdown=graceful)
        server = _Server(config)
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
        thread.start()
        assert server.listening.wait(30)
        try:
            yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        finally:
            server.should_exit = True
            thread.join(30)


@contextmanager
def service(ledger: Ledger, config: ServiceConfig = LOCAL) -> Iterator[str]:
    """Serve a ledger, and give the address of the service."""
    with served(create_app(ledger, api_key=KEY, config=config)) as url:
        yield url


def headers(provider: str | None = None, **annotations: str) -> dict[str, str]:
    """Return the headers of a call: `limit_ids="a"` is `xProxy-limit-ids: a`, `use_case_id` `xProxy-UseCase-id`."""
    named = {name.replace("use_case", "UseCase").replace("_", "-"): value for name, value in annotations.items()}
    said = {f"xProxy-{name}": value for name, value in named.items()}
    return {"xProxy-api-key": KEY, **({} if provider is None else {"xProxy-Provider-BaseUri": provider}), **said}


def without(member: str, body: bytes) -> tuple[bytes, list[Any]]:
    """Take the members of a name out of JSON that they were added to, and return the bytes that are left, and them."""
    found: list[Any] = []
    name = f'"{member}":'.encode()
    while (start := body.find(name)) >= 0:
        value, length = json.JSONDecoder().raw_decode(body[start + len(name) :].decode())
        found.append(value)
        end = start + len(name) + len(body[start + len(name) :].decode()[:length].encode())
        if body[:start].endswith(b","):
            start -= 1
        elif body[end : end + 1] == b",":
            end += 1
        body = body[:start] + body[end:]
    return body, found


def cost(result: Any) -> float:
    """Return what a call cost in all."""
    told: dict[str, Any] = result if isinstance(result, dict) else dict(result)
    return float(told["cost"]["total"]["base"])
