"""Metered httpx and httpx2 transports, and the seam that puts them in the way of provider calls.

httpx and httpx2 have the same shape and unrelated classes, so each class here is made once per library, from the
module object. What the app sees of its own request and of the provider's response stays as it is without us.
"""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator, Iterator
from functools import cache
from types import ModuleType
from typing import Any

from .annotations import NOTHING, Annotations
from .calls import await_settled, wait
from .exceptions import ConfigurationError
from .headers import CALL_PREFIX, read_annotations
from .log import warn
from .providers import maybe_inference
from .recorder import Exchange, asettle_identity, begin, settle_identity
from .stream_usage import ExtraChunk, asking_for_usage, is_signed
from .underway import sending

LIBRARIES = ("httpx", "httpx2")
CALL_EXTENSION = "payi_call"
"""Key in a response's `extensions` under which the call is found again."""

_METERED = "payi_metered"
_PREFIX = CALL_PREFIX.encode()


def _call_headers(request: Any) -> set[bytes]:
    """Name the `xProxy-*` headers that the app put on a call, in lower case."""
    return {name.lower() for name, _ in request.headers.raw if name[:7].lower() == _PREFIX}


def _small_fields(stream: Any) -> bytes | None:
    """Return a form's fields without its files, such as the model that an audio file is sent to."""
    fields = getattr(stream, "fields", None)
    if not isinstance(fields, list):
        return None
    told = [field.render_headers() + field.render_data() for field in fields if not hasattr(field, "file")]
    return b"".join(b"--\r\n" + field + b"\r\n" for field in told)


def _begin(request: Any, annotations: Annotations) -> Exchange | None:
    url = request.url
    try:
        body = request.content
    except RuntimeError:  # RequestNotRead: an upload that is read while it is sent
        body = _small_fields(request.stream)
    return begin(request.method, url.scheme, url.host, url.port, url.path, request.headers, body, annotations)


class _Metering:
    """What the sync and the async transport have in common: everything but the waiting."""

    def __init__(self, request: Any) -> None:
        self._request = request
        self.sent = request
        self._extra: ExtraChunk | None = None
        self.exchange: Exchange | None = None
        self._own_headers: list[tuple[bytes, bytes]] = []
        self._extensions = request.extensions

    def start(self) -> None:
        request = self._request
        request.extensions = {**self._extensions, _METERED: True}
        try:
            names = _call_headers(request)
            self.exchange = _begin(request, read_annotations(request.headers.get) if names else NOTHING)
            if names and self.exchange is not None:  # on any other call, such as one to Pay-i's own proxy, they stay
                self._own_headers = request.headers.raw
                for name in names:
                    del request.headers[name.decode("ascii")]
            if self.exchange is not None and self.exchange.may_ask_for_usage:
                self._ask_for_usage()
        except Exception as error:  # noqa: BLE001 - fail open: the provider call goes on unmetered
            warn("begin", "A provider call could not be recorded: %s", type(error).__name__)

    def _ask_for_usage(self) -> None:
        request = self._request
        body = None if is_signed(request.headers) else asking_for_usage(request.content)
        if body is not None:
            self.sent = type(request)(
                request.method,
                request.url,
                headers={
                    **request.headers,
                    "content-length": str(len(body)),
                    "accept-encoding": "identity",  # an event cannot be taken out of compressed bytes
                },
                content=body,
                extensions=request.extensions,
            )
            self._extra = ExtraChunk()

    def restore(self) -> None:
        """Give the app back its request as it was."""
        self._request.extensions = self._extensions
        if self._own_headers:
            self._request.headers = type(self._request.headers)(self._own_headers)

    def respond(self, response: Any, wrap: Any) -> None:
        """Watch the response's body; one that was read already, as mock transports give it, ends the exchange."""
        exchange = self.exchange
        if exchange is None:
            return
        try:
            read_already = response.is_stream_consumed
            if not exchange.respond(response.status_code, response.headers, decoded=read_already):
                return
            response.extensions = {**response.extensions, CALL_EXTENSION: exchange.call}
            if read_already:
                exchange.feed(response.content)
                exchange.finish(complete=True)
            else:
                response.stream = wrap(response.stream, exchange, self._taker(response))
        except Exception as error:  # noqa: BLE001 - fail open: the app gets its response
            warn("respond", "A provider response could not be watched: %s", type(error).__name__)
            exchange.fail(error)

    def _taker(self, response: Any) -> ExtraChunk | None:
        """Return what takes the chunk that was asked for out of the body, if there can be one."""
        plain = response.headers.get("content-encoding", "identity") == "identity"
        return self._extra if plain and response.status_code < 400 else None


@cache
def transports(module: ModuleType) -> tuple[type[Any], type[Any]]:
    """Make the sync and the async metered transport of one library.

    Args:
        module: `httpx` or `httpx2`.
    """

    class Stream(module.SyncByteStream):  # type: ignore[misc, name-defined]
        def __init__(self, inner: Any, exchange: Exchange, extra: ExtraChunk | None) -> None:
            self._inner = inner
            self._exchange = exchange
            self._extra = extra

        def __iter__(self) -> Iterator[bytes]:
            exchange = self._exchange
            feed = exchange.feed
            extra = self._extra
            try:
                for chunk in self._inner:
                    if feed(chunk) and (seconds := exchange.held_for):
                        wait((exchange.call,), seconds)
                    if extra is None:
                        yield chunk
                    elif passed := extra.pass_on(chunk):
                        yield passed
                if extra is not None and (rest := extra.rest()):
                    yield rest
            except Exception as error:
                exchange.fail(error)
                raise
            except BaseException:  # the app stopped listening: a closed or collected generator, a cancelled task
                exchange.finish(finalising=True)
                raise
            exchange.finish(complete=True)
            if seconds := exchange.held_for:
                wait((exchange.call,), seconds)

        def close(self) -> None:
            try:
                self._inner.close()
            finally:
                self._exchange.finish(finalising=True)  # the finaliser of a forgotten SDK stream closes its response

        def __del__(self) -> None:
            self._exchange.finish(finalising=True)

    class AsyncStream(module.AsyncByteStream):  # type: ignore[misc, name-defined]
        def __init__(self, inner: Any, exchange: Exchange, extra: ExtraChunk | None) -> None:
            self._inner = inner
            self._exchange = exchange
            self._extra = extra

        async def __aiter__(self) -> AsyncIterator[bytes]:
            exchange = self._exchange
            feed = exchange.feed
            extra = self._extra
            try:
                async for chunk in self._inner:
                    if feed(chunk) and (seconds := exchange.held_for):
                        await await_settled((exchange.call,), seconds)
                    if extra is None:
                        yield chunk
                    elif passed := extra.pass_on(chunk):
                        yield passed
                if extra is not None and (rest := extra.rest()):
                    yield rest
            except Exception as error:
                exchange.fail(error)
                raise
            except BaseException:  # the app stopped listening: a closed or collected generator, a cancelled task
                exchange.finish(finalising=True)
                raise
            exchange.finish(complete=True)
            if seconds := exchange.held_for:
                await await_settled((exchange.call,), seconds)

        async def aclose(self) -> None:
            try:
                await self._inner.aclose()
            finally:
                self._exchange.finish()

        def __del__(self) -> None:
            self._exchange.finish(finalising=True)

    class Transport(module.BaseTransport):  # type: ignore[misc, name-defined]
        def __init__(self, inner: Any) -> None:
            self._inner = inner

        def __enter__(self) -> Any:
            self._inner.__enter__()
            return self

        def __exit__(self, *failure: Any) -> None:
            self._inner.__exit__(*failure)

        def handle_request(self, request: Any) -> Any:
            if _METERED in request.extensions or not maybe_inference(request.url.raw_path):
                return self._inner.handle_request(request)
            settle_identity()
            metering = _Metering(request)
            metering.start()
            try:
                response = self._inner.handle_request(metering.sent)
            except BaseException as error:
                if metering.exchange is not None:
                    metering.exchange.fail(error)
                raise
            finally:
                metering.restore()
            metering.respond(response, Stream)
            if (exchange := metering.exchange) is not None and not exchange.open and (seconds := exchange.held_for):
                wait((exchange.call,), seconds)
            return response

        def close(self) -> None:
            self._inner.close()

    class AsyncTransport(module.AsyncBaseTransport):  # type: ignore[misc, name-defined]
        def __init__(self, inner: Any) -> None:
            self._inner = inner

        async def __aenter__(self) -> Any:
            await self._inner.__aenter__()
            return self

        async def __aexit__(self, *failure: Any) -> None:
            await self._inner.__aexit__(*failure)

        async def handle_async_request(self, request: Any) -> Any:
            if _METERED in request.extensions or not maybe_inference(request.url.raw_path):
                return await self._inner.handle_async_request(request)
            await asettle_identity()
            metering = _Metering(request)
            metering.start()
            try:
                sent = self._inner.handle_async_request(metering.sent)
                if metering.exchange is not None and type(self._inner) is not module.AsyncHTTPTransport:
                    sent = sending(metering.exchange, sent)  # it may run on aiohttp
                response = await sent
            except BaseException as error:
                if metering.exchange is not None:
                    metering.exchange.fail(error)
                raise
            finally:
                metering.restore()
            metering.respond(response, AsyncStream)
            if (exchange := metering.exchange) is not None and not exchange.open and (seconds := exchange.held_for):
                await await_settled((exchange.call,), seconds)
            return response

        async def aclose(self) -> None:
            await self._inner.aclose()

    for made, name in ((Transport, "PayiTransport"), (AsyncTransport, "AsyncPayiTransport")):
        made.__name__ = made.__qualname__ = name
    return Transport, AsyncTransport


def _library_of(inner: Any, base: str) -> ModuleType:
    for name in LIBRARIES:
        module = sys.modules.get(name)
        if module is not None and isinstance(inner, getattr(module, base)):
            return module
    raise ConfigurationError(
        "transport", f"{type(inner).__name__} is no {base} of httpx or httpx2", "Wrap a transport of one of the two."
    )


def PayiTransport(inner: Any) -> Any:  # noqa: N802 - it makes an instance of the class of that name
    """Wrap a sync transport by hand: `httpx.Client(transport=PayiTransport(httpx.HTTPTransport()))`.

    Args:
        inner: a transport of httpx or httpx2; the result belongs to the same library.

    Raises:
        ConfigurationError: `inner` is of neither library.
    """
    return transports(_library_of(inner, "BaseTransport"))[0](inner)


def AsyncPayiTransport(inner: Any) -> Any:  # noqa: N802 - it makes an instance of the class of that name
    """Wrap an async transport by hand; see `PayiTransport`."""
    return transports(_library_of(inner, "AsyncBaseTransport"))[1](inner)
