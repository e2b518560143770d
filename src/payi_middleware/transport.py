"""Metered httpx and httpx2 transports, and the seam that puts them in the way of provider calls.

httpx and httpx2 have the same shape and unrelated classes, so each class here is made once per library, from the
module object. What the app sees of its own request and of the provider's response stays as it is without us.
"""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator, Callable, Iterator
from functools import cache
from types import ModuleType
from typing import TYPE_CHECKING, Any

from .calls import await_settled, wait
from .context import current_frame
from .exceptions import ConfigurationError
from .forks import uncut
from .gatekeeping import aadmit, admit, ask
from .identifying import asettle_identity, settle, settle_at_once
from .limits.refusal import Refusal
from .metering import CALL_EXTENSION, METERED, Change, begun, watch
from .recorder import Exchange
from .stream_usage import UndecodableError
from .underway import may_be_sent_on, sending
from .urls import Target, target_of

if TYPE_CHECKING:
    from .proxying.sieves import Sieve

LIBRARIES = ("httpx", "httpx2")
_NOWHERE = None, None
"""What a URL is forgotten by, as soon as it has been of use: something in it may be secret."""


class _Wrapper:
    """A transport around another one.

    Args:
        inner: the other one.
        client: returns the client that was given this one for its URL, as long as it lives: it keeps this one.
        original: how that client finds its transport for another URL.

    `latest` is the URL that it was found for last, and where that goes to.
    """

    def __init__(
        self, inner: Any, client: Callable[[], Any] | None = None, original: Callable[[Any, Any], Any] | None = None
    ) -> None:
        self.inner = self._inner = inner
        self.latest: tuple[Any, Target | None] = _NOWHERE
        self._client = client
        self._original = original

    def _target_of(self, request: Any) -> Target | None:
        """Return where a request goes to that is to be metered here; None of one that somebody meters already."""
        if METERED in request.extensions:
            return None
        url, target = self.latest
        if url is not request.url:
            return target_of(request.url)
        self.latest = _NOWHERE
        return target

    def _transport_for(self, url: Any) -> Any:
        client = None if self._client is None else self._client()
        return self._inner if client is None or self._original is None else self._original(client, url)


@cache
def _proxied() -> Any:
    """Import what sends calls through Pay-i, with the first of them."""
    with uncut:
        from .proxying import over_httpx
    return over_httpx


@cache
def transports(module: ModuleType) -> tuple[type[Any], type[Any]]:
    """Make the sync and the async metered transport of one library.

    Args:
        module: `httpx` or `httpx2`.
    """

    def refused(exchange: Exchange, refusal: Refusal) -> Any:
        extensions = {CALL_EXTENSION: exchange.call}
        return module.Response(refusal.status, headers=refusal.headers, content=refusal.body, extensions=extensions)

    class Stream(module.SyncByteStream):  # type: ignore[misc, name-defined]
        def __init__(self, inner: Any, exchange: Exchange, extra: Sieve | None) -> None:
            self._inner = inner
            self._exchange = exchange
            self._extra = extra

        def __iter__(self) -> Iterator[bytes]:
            exchange = self._exchange
            feed = exchange.feed
            extra = self._extra
            says_nothing = None
            try:
                for chunk in self._inner:
                    if says_nothing is not None and says_nothing(chunk):
                        yield chunk
                        continue
                    passed = chunk if extra is None else extra.pass_on(chunk)
                    if feed(chunk) and (seconds := exchange.held_for):
                        wait((exchange.call,), seconds)
                    if exchange.skips:
                        says_nothing = exchange.says_nothing if extra is None or extra.idle else None
                    if passed or extra is None:
                        yield passed
                if extra is not None and (rest := extra.rest()):
                    yield rest
            except UndecodableError as error:  # to the app it is what httpx would have found
                undecodable = module.DecodingError(str(error))
                exchange.fail(undecodable)
                raise undecodable from None
            except Exception as error:
                exchange.fail(error)
                raise
            except BaseException:  # the app stopped listening: a closed or collected generator, a cancelled task
                exchange.finish(finalising=True)
                raise
            exchange.finish(complete=True)
            if exchange.inline and (seconds := exchange.held_for):
                wait((exchange.call,), seconds)

        def close(self) -> None:
            try:
                self._inner.close()
            finally:
                if self._exchange.open:  # the finaliser of a forgotten SDK stream closes its response
                    self._exchange.finish(finalising=True)

        def __del__(self) -> None:
            if self._exchange.open:
                self._exchange.finish(finalising=True)

    class AsyncStream(module.AsyncByteStream):  # type: ignore[misc, name-defined]
        def __init__(self, inner: Any, exchange: Exchange, extra: Sieve | None) -> None:
            self._inner = inner
            self._exchange = exchange
            self._extra = extra

        async def __aiter__(self) -> AsyncIterator[bytes]:
            exchange = self._exchange
            feed = exchange.feed
            extra = self._extra
            says_nothing = None
            try:
                async for chunk in self._inner:
                    if says_nothing is not None and says_nothing(chunk):
                        yield chunk
                        continue
                    passed = chunk if extra is None else extra.pass_on(chunk)
                    if feed(chunk) and (seconds := exchange.held_for):
                        await await_settled((exchange.call,), seconds)
                    if exchange.skips:
                        says_nothing = exchange.says_nothing if extra is None or extra.idle else None
                    if passed or extra is None:
                        yield passed
                if extra is not None and (rest := extra.rest()):
                    yield rest
            except UndecodableError as error:  # to the app it is what httpx would have found
                undecodable = module.DecodingError(str(error))
                exchange.fail(undecodable)
                raise undecodable from None
            except Exception as error:
                exchange.fail(error)
                raise
            except BaseException:  # the app stopped listening: a closed or collected generator, a cancelled task
                exchange.finish(finalising=True)
                raise
            exchange.finish(complete=True)
            if exchange.inline and (seconds := exchange.held_for):
                await await_settled((exchange.call,), seconds)

        async def aclose(self) -> None:
            try:
                await self._inner.aclose()
            finally:
                if self._exchange.open:
                    self._exchange.finish()

        def __del__(self) -> None:
            if self._exchange.open:
                self._exchange.finish(finalising=True)

    class Transport(_Wrapper, module.BaseTransport):  # type: ignore[misc, name-defined]
        def __enter__(self) -> Any:
            self._inner.__enter__()
            return self

        def __exit__(self, *failure: Any) -> None:
            self._inner.__exit__(*failure)

        def handle_request(self, request: Any) -> Any:
            target = self._target_of(request)
            if target is None:
                return self._inner.handle_request(request)
            frame = current_frame()
            if frame is not None:
                settle(frame)
            exchange, change = begun(request, target, frame)
            if exchange is None:
                return self._inner.handle_request(request)
            extensions = request.extensions
            request.extensions = {**extensions, METERED: True}
            try:
                response = self._inner.handle_request(request) if change is None else self._changed(exchange, change)
            except BaseException as error:
                exchange.fail(error)
                raise
            finally:
                request.extensions = extensions
                if change is not None:
                    change.restore()
            if exchange.open:  # or it was refused
                watch(exchange, response, Stream, change)
                if exchange.inline and not exchange.open and (seconds := exchange.held_for):
                    wait((exchange.call,), seconds)
            return response

        def _changed(self, exchange: Exchange, change: Change) -> Any:
            """Have a call sent that may be changed, sent through Pay-i, or refused."""
            if exchange.hindered:
                if (admission := ask(exchange)) and (refusal := admit(exchange, admission)) is not None:
                    return refused(exchange, refusal)
                if exchange.model_instead is not None:
                    change.substitute(exchange.model_instead)
                if (passage := change.passage()) is not None:
                    response = _proxied().send_through(passage, change.sent, self._transport_for, module)
                    if response is not None:
                        return response
            change.ask_for_usage()
            return self._inner.handle_request(change.sent)

        def close(self) -> None:
            self._inner.close()

    class AsyncTransport(_Wrapper, module.AsyncBaseTransport):  # type: ignore[misc, name-defined]
        async def __aenter__(self) -> Any:
            await self._inner.__aenter__()
            return self

        async def __aexit__(self, *failure: Any) -> None:
            await self._inner.__aexit__(*failure)

        async def handle_async_request(self, request: Any) -> Any:
            target = self._target_of(request)
            if target is None:
                return await self._inner.handle_async_request(request)
            frame = current_frame()
            if frame is not None and not settle_at_once(frame):
                await asettle_identity(frame)
            exchange, change = begun(request, target, frame)
            if exchange is None:
                return await self._inner.handle_async_request(request)
            extensions = request.extensions
            request.extensions = {**extensions, METERED: True}
            try:
                response = await (self._sent(exchange, request) if change is None else self._changed(exchange, change))
            except BaseException as error:
                exchange.fail(error)
                raise
            finally:
                request.extensions = extensions
                if change is not None:
                    change.restore()
            if exchange.open:  # or it was refused
                watch(exchange, response, AsyncStream, change)
                if exchange.inline and not exchange.open and (seconds := exchange.held_for):
                    await await_settled((exchange.call,), seconds)
            return response

        async def _changed(self, exchange: Exchange, change: Change) -> Any:
            """Have a call sent that may be changed, sent through Pay-i, or refused."""
            if exchange.hindered:
                if (admission := ask(exchange)) and (refusal := await aadmit(exchange, admission)) is not None:
                    return refused(exchange, refusal)
                if exchange.model_instead is not None:
                    change.substitute(exchange.model_instead)
                if (passage := change.passage()) is not None:
                    response = await _proxied().asend_through(passage, change.sent, self._transport_for, module)
                    if response is not None:
                        return response
            change.ask_for_usage()
            return await self._sent(exchange, change.sent)

        def _sent(self, exchange: Exchange, request: Any) -> Any:
            """Return what is awaited to have a request sent."""
            sent = self._inner.handle_async_request(request)
            if type(self._inner) is not module.AsyncHTTPTransport and may_be_sent_on():
                return sending(exchange, sent)  # it may run on aiohttp
            return sent

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
