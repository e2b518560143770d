"""The service on a loopback port, and clients of it: plain HTTP, and the official SDK, sync and async."""

from __future__ import annotations

import asyncio
import itertools
import json
import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

import httpx
import uvicorn
from payi import AsyncPayi, Payi
from sqlalchemy import Table, select

from payi_middleware.service.api.keyring import API_KEY
from payi_middleware.service.app import create_app
from payi_middleware.service.config import ServiceConfig
from payi_middleware.service.ledger import Ledger
from tests.service_api.conforming import conforms

_NO_TLS = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
"""Certificates take 20 ms to be read, and none is needed here."""
_numbers = itertools.count(1)


@dataclass(frozen=True)
class Served:
    """A service, and the ledger that it serves: that of no key's application."""

    url: str
    ledger: Ledger

    def key(self, application: str | None = None) -> str:
        """Make a key, of an application of its own if none is named."""
        return self.ledger.create_key(f"key {next(_numbers)}", application)

    def ledger_of(self, key: str) -> Ledger:
        """Return the ledger of a key's application."""
        application_id = self.ledger.key_holder(key)
        assert application_id is not None
        return self.ledger.of(application_id)

    def properties(self, key: str, table: Table, **named: str) -> Any:
        """Return the properties in the only row of a table that has these values."""
        query = select(table.c.properties).where(*(table.c[name] == value for name, value in named.items()))
        return self.ledger_of(key).read(
            lambda connection, own: connection.execute(query.where(table.c.application_id == own)).scalar_one()
        )


@contextmanager
def served(database: str, config: ServiceConfig | None = None) -> Iterator[Served]:
    with Ledger(database) as ledger, socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(128)
        app = create_app(ledger, stored_keys=True, config=config)
        server = uvicorn.Server(uvicorn.Config(app, log_level="critical"))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
        thread.start()
        try:
            yield Served(f"http://127.0.0.1:{listener.getsockname()[1]}", ledger)
        finally:
            server.should_exit = True
            thread.join()


class Http(httpx.Client):
    """Plain HTTP with a key. Every answer is compared with what the API's description says of it."""

    def __init__(self, service: Served, key: str) -> None:
        super().__init__(
            base_url=f"{service.url}/api/v1",
            headers={API_KEY: key},
            verify=_NO_TLS,
            trust_env=False,
            timeout=30,
            event_hooks={"response": [conforms]},
        )

    def send_json(self, method: str, path: str, body: Any) -> httpx.Response:
        """Send any JSON, the kinds too that httpx would not write."""
        content = None if body is None else json.dumps(body).encode()
        return self.request(method, path, content=content, headers={"content-type": "application/json"})

    def get_at(self, path: str, *names: str) -> httpx.Response:
        """Get what is at a path, with names as segments of it."""
        return self.get(path.format(*(quote(name, safe="").replace(".", "%2E") for name in names)))


class AsyncSdk:
    """The official SDK's async client, called as its sync one is: the same tests are for both."""

    def __init__(self, runner: asyncio.Runner, thing: Any) -> None:
        self._runner = runner
        self._thing = thing

    def __getattr__(self, name: str) -> AsyncSdk:
        return AsyncSdk(self._runner, getattr(self._thing, name))

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        called = self._thing(*args, **kwargs)
        if hasattr(called, "__aiter__"):
            return self._runner.run(_every(called))
        return self._runner.run(called)


async def _every(pages: Any) -> list[Any]:
    return [item async for item in pages]


@contextmanager
def official_sdk(service: Served, key: str, kind: str) -> Iterator[Any]:
    """The official SDK; it takes no answer that lacks what it knows of.

    Args:
        kind: "sync" or "async".
    """
    arguments: dict[str, Any] = {"base_url": service.url, "api_key": key, "max_retries": 0}
    if kind == "sync":
        with Payi(**arguments, _strict_response_validation=True) as client:
            yield client
    else:
        with asyncio.Runner() as runner:
            waited = AsyncPayi(**arguments, _strict_response_validation=True)
            yield AsyncSdk(runner, waited)
            runner.run(waited.close())
