"""What follows the last byte of a response on ASGI."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from typing import Any

from payi_middleware.calls import await_settled
from payi_middleware.log import warn
from payi_middleware.results import NO_CALLS, Summary
from payi_middleware.tally import Tally

from .events import EventTail
from .trailers import fields

__all__ = ["Ending"]

_BODIES = ("http.response.body", "http.response.zerocopysend")
_WHOLE = "http.response.pathsend"
_TRAILERS = "http.response.trailers"

Message = MutableMapping[str, Any]
Send = Callable[[Message], Awaitable[None]]


class Ending:
    """Sends one response's messages on, and adds the summary at their end.

    The app's bytes are never held back: what waits for results is the end of the response.

    Args:
        start: the message that starts the response.
        tally: the request's provider calls.
        send: the server's.
        patience: returns the seconds that the end may wait for results.
        trailers: add trailers.
        tail: the event stream that gets a last event, if this is one.
    """

    __slots__ = ("_own_trailers", "_patience", "_send", "_summary", "_tail", "_tally", "_trailers")

    def __init__(
        self,
        start: Mapping[str, Any],
        tally: Tally,
        send: Send,
        *,
        patience: Callable[[], float],
        trailers: bool,
        tail: EventTail | None,
    ) -> None:
        self._tally = tally
        self._send = send
        self._patience = patience
        self._trailers = trailers
        self._own_trailers = bool(start.get("trailers", False))
        self._tail = tail
        self._summary: Summary | None = None

    async def send(self, message: Message) -> None:
        """Send a message that follows the start of the response."""
        kind = message["type"]
        if kind == _TRAILERS and self._trailers and not message.get("more_trailers", False):
            await self._send({**message, "headers": fields(await self._told(), message.get("headers", ()))})
        elif kind == _WHOLE or (kind in _BODIES and not message.get("more_body", False)):
            await self._end(message)
        else:
            self._follow(message)
            await self._send(message)

    def _follow(self, message: Message) -> None:
        if self._tail is None or message["type"] not in _BODIES:
            return
        if "body" in message or message["type"] == _BODIES[0]:
            self._tail.feed(message.get("body", b""))
        else:
            self._tail = None  # the server reads the bytes from a file

    async def _end(self, message: Message) -> None:
        self._follow(message)
        if self._tail is not None and message["type"] == _BODIES[0] and self._tail.between_events:
            if message.get("body"):
                await self._send({**message, "more_body": True})
            event = self._tail.event(await self._told())
            message = {"type": _BODIES[0], "body": event, "more_body": False}
        await self._send(message)
        if self._trailers and not self._own_trailers:
            await self._send({"type": _TRAILERS, "headers": fields(await self._told()), "more_trailers": False})

    async def _told(self) -> Summary:
        """Return what is known when the wait for it is over. Whatever happens: the end was promised to the server."""
        if self._summary is None:
            self._summary = NO_CALLS
            try:
                if (due := self._tally.due) and (seconds := self._patience()):
                    await await_settled(due, seconds)
                self._summary = self._tally.summary()
            except Exception as error:  # noqa: BLE001 - fail open
                warn("ending", "The end of a response went out without its summary: %s", type(error).__name__)
        return self._summary
