"""What every tool can do; this one does nothing, and is what the others are compared with."""

from __future__ import annotations

import importlib
import socket
from collections.abc import Awaitable, Callable, Iterable, Mapping
from contextlib import AbstractContextManager, nullcontext
from typing import Any
from urllib.parse import urlsplit

__all__ = ["CALL", "HTTP", "SERVER", "App", "Tool", "told_by", "tool_of"]

App = Callable[[Any, Any, Any], Awaitable[None]]
SERVER, CALL, HTTP = "server", "call", "http"
"""What is recorded: requests that the app serves, calls of a provider, and calls of any host."""


class Tool:
    """Nothing at all.

    Args:
        options: `sink`, the address of a service that counts what it is sent; `folder`, an empty one; and what the
            roster gives.
    """

    def __init__(self, options: Mapping[str, str]) -> None:
        self.options = options

    def start(self) -> None:
        """Set it up as its documentation says, before the clients are made."""

    def asgi(self, app: App) -> App:
        """Put the middleware around an app."""
        return app

    def client(self, client: Any) -> None:
        """Instrument one of httpx2's clients, where the tool does not find it by itself."""

    def openai(self, *, asynchronous: bool) -> Any:
        """Return the class of clients."""
        import openai

        return openai.AsyncOpenAI if asynchronous else openai.OpenAI

    def around(self) -> AbstractContextManager[Any]:
        """Return what calls are made within, where the tool records none outside."""
        return nullcontext()

    def flush(self) -> None:
        """Have everything recorded reach where it goes."""

    def recorded(self) -> Mapping[str, int]:
        """Count what has been recorded up to now, by what it is."""
        return {}

    def in_headers(self, headers: Iterable[tuple[bytes, bytes]]) -> bool:
        """Return whether a response's headers show that the middleware has done its work."""
        return False


def tool_of(name: str, options: Mapping[str, str]) -> Tool:
    """Make the tool of a module of this package."""
    made: Tool = importlib.import_module(f"{__package__}.{name}").TOOL(options)
    return made


def told_by(url: str) -> int:
    """Ask a sink how much it has counted; over a bare socket, as every client may be instrumented."""
    parts = urlsplit(url)
    with socket.create_connection((parts.hostname or "", parts.port or 0), timeout=10) as connection:
        connection.sendall(b"GET /counted HTTP/1.1\r\nHost: sink\r\nConnection: close\r\n\r\n")
        told = b""
        while part := connection.recv(4096):
            told += part
    return int(told.partition(b"\r\n\r\n")[2])


TOOL = Tool
