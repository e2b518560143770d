"""The service under uvicorn, which keeps what it was sent and can be told to misbehave."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from starlette.types import Message, Receive, Scope, Send

from payi_middleware.service.app import create_app
from payi_middleware.service.ledger import Ledger
from tests.transport.serving import serve

PAYI_KEY = "payi-key-of-the-app"
HTML = b"<html>502 Bad Gateway</html>"


@dataclass(frozen=True)
class Received:
    """One request as it arrived."""

    method: str
    path: str
    query: str
    headers: dict[str, str]
    raw: bytes
    peer: tuple[str, int]

    @property
    def body(self) -> Any:
        return json.loads(self.raw)


class Ingest:
    """`mode` is "ok", "hang", "half", "html", a status, or a status with an HTML body ("html 401")."""

    def __init__(self, ledger: Ledger) -> None:
        self.ledger = ledger
        self.mode: str | int = "ok"
        self.received: list[Received] = []
        self.asked = threading.Event()
        self.url = ""
        self._service = create_app(ledger, api_key=PAYI_KEY)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        raw, more = b"", True
        while more:
            message = await receive()
            raw += message.get("body", b"")
            more = message.get("more_body", False)
        headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
        query = scope["query_string"].decode()
        self.received.append(Received(scope["method"], scope["path"], query, headers, raw, scope["client"]))
        self.asked.set()
        if self.mode == "ok":
            await self._service(scope, _replay(raw), send)
        elif self.mode == "hang":
            while (await receive())["type"] != "http.disconnect":
                pass
        elif self.mode == "half":
            await _start(send, 200, b"content-length", b"4000")
            await send({"type": "http.response.body", "body": b'{"xproxy_result": {', "more_body": True})
        elif isinstance(self.mode, int):
            error = {"statusCode": self.mode, "message": "no", "xproxy_error": {"code": "told_to", "message": "no"}}
            await _answer(send, self.mode, json.dumps(error).encode())
        else:
            await _answer(send, int(self.mode.removeprefix("html").strip() or 200), HTML)


def _replay(raw: bytes) -> Receive:
    async def receive() -> Message:
        return {"type": "http.request", "body": raw, "more_body": False}

    return receive


async def _start(send: Send, status: int, *header: bytes) -> None:
    await send({"type": "http.response.start", "status": status, "headers": [header] if header else []})


async def _answer(send: Send, status: int, body: bytes) -> None:
    await _start(send, status)
    await send({"type": "http.response.body", "body": body})


@contextmanager
def ingest_server(path: Path, *, port: int = 0, mode: str | int = "ok") -> Iterator[Ingest]:
    """Serve a ledger at this path."""
    with Ledger(path) as ledger:
        ingest = Ingest(ledger)
        ingest.mode = mode
        with serve(ingest, port=port) as url:
            ingest.url = url
            yield ingest
