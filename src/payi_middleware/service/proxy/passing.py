"""The answer to a call that may be made: the provider's, with the result in it."""

from __future__ import annotations

import logging
from typing import Any

import anyio
from anyio import CancelScope
from anyio.abc import TaskGroup
from starlette.requests import ClientDisconnect
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from payi_middleware.providers.registry import FORMATS
from payi_middleware.service.api.bodies import encoded
from payi_middleware.service.errors import ServiceError

from .answers import Answer, Kind, error_members
from .forwarding import Headers, answered
from .metering import Metering
from .outgoing import Outgoing
from .settling import Settlement
from .splicing import added_to_object, is_object, members
from .tails import BodyTail, EventTail, FrameTail, Tail
from .upstream import Unreachable, Upstream, UpstreamResponse

__all__ = ["Passing"]

logger = logging.getLogger(__name__)

_HELD = 1024 * 1024
"""Bytes of a JSON answer that is held until the result can be added; of a longer one, only the end is."""


class Passing(Response):
    """Pass a call on to a provider, and its answer back.

    Whatever happens, the call is settled: also when the caller leaves (the provider's connection is closed then), when
    the provider breaks off, and when the server stops.

    Args:
        upstream: the connections to providers.
        outgoing: the request.
        metering: reads the answer; None for a request that is no inference, whose answer passes as it is.
        settlement: books the call, if it is metered.
        streams: a stream is asked for.
    """

    def __init__(
        self,
        upstream: Upstream,
        outgoing: Outgoing,
        metering: Metering | None = None,
        settlement: Settlement | None = None,
        *,
        streams: bool = False,
    ) -> None:
        super().__init__()
        self._upstream = upstream
        self._outgoing = outgoing
        self._metering = metering
        self._settlement = settlement
        self._streams = streams

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send the answer (ASGI)."""
        try:
            async with anyio.create_task_group() as group:
                await self._pass(receive, _Caller(send), group)
                group.cancel_scope.cancel()
            if self._settlement is not None:
                await self._settlement.settle()
        finally:
            if self._settlement is not None:
                self._settlement.leave()

    async def _pass(self, receive: Receive, caller: _Caller, group: TaskGroup) -> None:
        try:
            if isinstance(self._outgoing.body, bytes):
                group.start_soon(_leave_with_caller, receive, group.cancel_scope)
                response = await self._outgoing.send(self._upstream)
            else:  # meanwhile, the body is what is received
                response = await self._outgoing.send(self._upstream)
                group.start_soon(_leave_with_caller, receive, group.cancel_scope)
            try:
                await self._answer(response, caller)
            finally:
                await response.aclose()
        except Unreachable as error:
            await self._fail(error, caller)
        except (ClientDisconnect, OSError):  # the caller has left, in the middle of its request or of the answer
            return
        except Exception as error:  # noqa: BLE001 - the last wall: a caller sees an error body, the log the kind only
            logger.error("unexpected %s while a call is passed on", type(error).__name__)
            broken = ServiceError(500, "unexpected_error", "an unexpected error occurred")
            await self._fail(Unreachable(type(error).__name__, broken), caller)

    async def _fail(self, error: Unreachable, caller: _Caller) -> None:
        """Tell the caller why there is no answer. One that has begun just ends: a broken connection stays one."""
        if self._metering is not None:
            self._metering.fail(error.kind)
        result = await self._result()
        if not caller.begun:
            body = error.refusal.body() | ({} if result is None else {"xproxy_result": result})
            await caller.whole(error.refusal.status, [(b"content-type", b"application/json")], encoded(body))

    async def _result(self) -> dict[str, Any] | None:
        return None if self._settlement is None else await self._settlement.result()

    async def _added(self) -> bytes | None:
        result = await self._result()
        return None if result is None else members({"xproxy_result": encoded(result)})

    async def _answer(self, response: UpstreamResponse, caller: _Caller) -> None:
        if 300 <= response.status < 400 and "location" in response.told:
            # To follow it would hand the caller's keys to another host, and so would telling the caller to.
            redirected = ServiceError(502, "provider_error", "the provider redirects, which is not followed")
            raise Unreachable("Redirect", redirected)
        metering = self._metering
        if metering is None:
            await self._relay(response, answered(response.headers, changed=False), caller)
            return
        answer = Answer(response, streams=self._streams)
        metering.respond(response.status, response.told, decoded=answer.readable)
        # Lines of JSON may begin like one object, and are a file that nothing may be added to.
        kind = Kind.OTHER if FORMATS[metering.match.api].framing == "lines" else await answer.kind()
        if kind is Kind.JSON:
            await self._whole(answer, metering, caller)
        elif kind is Kind.EVENTS:
            tail = EventTail(metering.match.api, metering.see, take_out=self._outgoing.taken_out)
            await self._stream(answer, tail, metering, caller)
        elif kind is Kind.FRAMES:
            await self._stream(answer, FrameTail(metering.see), metering, caller)
        else:
            await self._relay(answer, answered(answer.headers, changed=answer.decoded), caller)

    async def _relay(self, answer: UpstreamResponse | Answer, headers: Headers, caller: _Caller) -> None:
        """Pass an answer on that nothing is added to."""
        await caller.begin(answer.status, headers)
        while chunk := await answer.read():
            if self._metering is not None:
                self._metering.see(chunk)
            await caller.pass_on(chunk)
        if self._metering is not None:
            self._metering.complete()
        await self._result()
        await caller.end()

    async def _whole(self, answer: Answer, metering: Metering, caller: _Caller) -> None:
        """Pass one JSON text on, with the result in it."""
        parts, size = [], 0
        while chunk := await answer.read():
            parts.append(chunk)
            size += len(chunk)
            metering.see(chunk)
            if size > _HELD:
                await self._stream(answer, BodyTail(metering.see, b"".join(parts)), metering, caller)
                return
        body = b"".join(parts)
        metering.complete()
        result = await self._result()
        headers = answered(answer.headers, changed=True)
        if result is not None:
            headers.append((b"x-payi-request-id", result["request_id"].encode()))
            if is_object(body):
                named = error_members(answer.status, body) if answer.status >= 400 else {}
                body = added_to_object(body, members({**named, "xproxy_result": encoded(result)}))
        await caller.whole(answer.status, headers, body)

    async def _stream(self, answer: Answer, tail: Tail, metering: Metering, caller: _Caller) -> None:
        """Pass a stream on as it comes, with the result in its last chunk."""
        await caller.begin(answer.status, answered(answer.headers, changed=True))
        finished = False
        try:
            while chunk := await answer.read():
                await caller.pass_on(tail.feed(chunk))
                if tail.due and not finished:
                    finished = True
                    await caller.pass_on(tail.finish(await self._added()))
        except Unreachable:
            tail.end()
            await caller.pass_on(tail.finish(None))
            raise
        if finished:
            await caller.end()
            return
        tail.end()
        metering.complete()
        await caller.end(tail.finish(await self._added()))


class _Caller:
    """Whom the answer is for."""

    def __init__(self, send: Send) -> None:
        self._send = send
        self.begun = False

    async def begin(self, status: int, headers: Headers) -> None:
        """Send status and headers."""
        self.begun = True
        await self._send({"type": "http.response.start", "status": status, "headers": headers})

    async def pass_on(self, chunk: bytes) -> None:
        """Send a piece of the body, if there is anything in it."""
        if chunk:
            await self._send({"type": "http.response.body", "body": chunk, "more_body": True})

    async def end(self, chunk: bytes = b"") -> None:
        """Send the last piece of the body."""
        await self._send({"type": "http.response.body", "body": chunk, "more_body": False})

    async def whole(self, status: int, headers: Headers, body: bytes) -> None:
        """Send an answer in one."""
        await self.begin(status, [*headers, (b"content-length", str(len(body)).encode())])
        await self.end(body)


async def _leave_with_caller(receive: Receive, scope: CancelScope) -> None:
    """Cancel what is done for a caller who leaves."""
    while (await receive())["type"] != "http.disconnect":
        pass
    scope.cancel()
