"""The results route on ASGI."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from payi_middleware.context import RequestScope
from payi_middleware.log import warn

from .late import Late
from .results_route import answer, is_replaced

__all__ = ["AsgiAnswer"]

Message = MutableMapping[str, Any]
Send = Callable[[Message], Awaitable[None]]


class AsgiAnswer:
    """Puts the answer in place of the app's response, if that lets the request pass.

    Args:
        late: where earlier requests are.
        request_id: which one is asked for.
        scope: who asks.
        send: the server's.
    """

    def __init__(self, late: Late, request_id: str, scope: RequestScope, send: Send) -> None:
        self._late = late
        self._request_id = request_id
        self._scope = scope
        self._send = send
        self._replaced = False

    async def send(self, message: Message) -> None:
        """Take a message of the app."""
        if self._replaced:
            return
        if message["type"] == "http.response.start" and is_replaced(message["status"]):
            try:
                messages = await self._answer(message)
            except Exception as error:  # noqa: BLE001 - fail open: the app's response goes out
                warn("results", "An earlier result could not be looked up: %s", type(error).__name__)
            else:
                self._replaced = True
                for one in messages:
                    await self._send(one)
                return
        await self._send(message)

    async def _answer(self, start: Message) -> list[Message]:
        await self._scope.asettle_identity()
        own = [(name.decode("latin-1"), value.decode("latin-1")) for name, value in start.get("headers", ())]
        status, headers, body = answer(self._late.find(self._request_id, self._scope), own)
        encoded = [(name.lower().encode("latin-1"), value.encode("latin-1")) for name, value in headers]
        return [
            {"type": "http.response.start", "status": status, "headers": encoded},
            {"type": "http.response.body", "body": body},
        ]
