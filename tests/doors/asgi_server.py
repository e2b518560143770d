"""The server's side of ASGI, message by message, and uvicorn in a process of its own."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import anyio
import httpx

Message = dict[str, Any]


def http_scope(path: str = "/", *headers: tuple[str, str], method: str = "GET", **more: Any) -> dict[str, Any]:
    """Make the scope of a request from the loopback."""
    return {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.4"},
        "http_version": "1.1",
        "method": method,
        "scheme": "http",
        "path": path,
        "raw_path": path.encode(),
        "query_string": b"",
        "root_path": "",
        "headers": [(name.lower().encode(), value.encode()) for name, value in headers],
        "client": ("127.0.0.1", 50000),
        "server": ("127.0.0.1", 80),
        **more,
    }


def websocket_scope(*headers: tuple[str, str]) -> dict[str, Any]:
    """Make the scope of a websocket that allows to be refused with a response."""
    return http_scope("/", *headers, type="websocket", subprotocols=[], extensions={"websocket.http.response": {}})


def serve(app: Any, scope: dict[str, Any], *received: Message) -> list[Message]:
    """Run an app for one scope, give it messages, and return what it sent. Its exceptions go through."""
    sent: list[Message] = []
    waiting = list(received) or [{"type": "http.request", "body": b"", "more_body": False}]

    async def receive() -> Message:
        if not waiting:
            await anyio.sleep_forever()
        return waiting.pop(0)

    async def send(message: Message) -> None:
        sent.append(message)

    async def run() -> None:
        await app(scope, receive, send)

    anyio.run(run)
    return sent


def headers_of(message: Message) -> httpx.Headers:
    """Return the headers of a message that starts a response."""
    return httpx.Headers(message["headers"])


def ours_in(headers: Iterable[str]) -> list[str]:
    """Return which of these are names of ours."""
    return [name for name in headers if name.lower().startswith("x-payi-")]


def run_python(folder: Path, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run Python in a folder; environment variables of ours are only those given."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("PAYI_")}
    return subprocess.run(
        [sys.executable, *arguments],
        cwd=folder,
        env={**inherited, **environment},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
