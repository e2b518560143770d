"""The body of an aiohttp response, seen as the app reads it: after decompression, and never ahead of the app."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from aiohttp.client_exceptions import ClientError, ClientPayloadError
from aiohttp.streams import StreamReader

from .calls import await_settled
from .recorder import Exchange
from .stream_usage import ExtraChunk, UndecodableError


async def hold(exchange: Exchange) -> None:
    """Wait for the result of an exchange that has ended, where the app wants that."""
    if seconds := exchange.held_for:
        await await_settled((exchange.call,), seconds)


class Watched:
    """Stand in for a response's `StreamReader`: whatever reads passes through here, all else goes to the reader.

    The reader itself cannot be replaced, as the connection writes to it. A read that is cancelled does not end the
    exchange: with `asyncio.wait_for()` around it, apps go on reading.
    """

    __slots__ = ("_exchange", "_inner")

    def __init__(self, inner: Any, exchange: Exchange) -> None:
        self._inner = inner
        self._exchange = exchange

    @property  # type: ignore[misc]
    def __class__(self) -> Any:
        """Say to `isinstance()` what the reader is."""
        return type(self._inner)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)

    def __repr__(self) -> str:
        return repr(self._inner)

    # Those of aiohttp's own methods that are made of others do their work here, so that they call these others here.

    def __aiter__(self) -> Any:
        return type(self._inner).__aiter__(self)

    def iter_chunked(self, n: int) -> Any:
        """Iterate over pieces of up to `n` bytes."""
        return type(self._inner).iter_chunked(self, n)

    def iter_any(self) -> Any:
        """Iterate over what has come in."""
        return type(self._inner).iter_any(self)

    def iter_chunks(self) -> Any:
        """Iterate over the server's chunks."""
        return type(self._inner).iter_chunks(self)

    async def readexactly(self, n: int) -> Any:
        """Read `n` bytes."""
        return await type(self._inner).readexactly(self, n)

    async def readline(self, *args: Any, **kwargs: Any) -> Any:
        """Read a line."""
        return await self._during(self._inner.readline, *args, **kwargs)

    async def readuntil(self, *args: Any, **kwargs: Any) -> Any:
        """Read up to a separator."""
        return await self._during(self._inner.readuntil, *args, **kwargs)

    async def read(self, n: int = -1) -> Any:
        """Read up to `n` bytes, or everything."""
        return await self._during(self._inner.read, n)

    async def readany(self) -> Any:
        """Read what has come in."""
        return await self._during(self._inner.readany)

    async def readchunk(self) -> Any:
        """Read what has come in of the server's chunk."""
        return await self._during(self._inner.readchunk)

    def read_nowait(self, n: int = -1) -> Any:
        """Read what has come in, without waiting."""
        chunk = self._inner.read_nowait(n)
        self._take(chunk)
        return chunk

    async def _during(self, read: Callable[..., Awaitable[Any]], *args: Any, **kwargs: Any) -> Any:
        exchange = self._exchange
        try:
            got = await read(*args, **kwargs)
        except (ClientError, OSError) as error:
            exchange.fail(error)
            raise
        if exchange.open:
            self._take(got[0] if isinstance(got, tuple) else got)
            if not exchange.open:
                await hold(exchange)
        return got

    def _take(self, chunk: bytes) -> None:
        if chunk:
            self._exchange.feed(chunk)
        if self._inner.at_eof():
            self._exchange.finish(complete=True)

    # How a response that is released or closed tells its reader, unless the connection has broken before.

    def exception(self) -> Any:
        """Return what went wrong with the connection."""
        error = self._inner.exception()
        if error is not None:
            self._exchange.fail(error)
        return error

    def set_exception(self, *args: Any, **kwargs: Any) -> None:
        """Give up the rest of the body."""
        self._inner.set_exception(*args, **kwargs)
        self._exchange.finish(finalising=True)

    def __del__(self) -> None:
        self._exchange.finish(finalising=True)


class Sieved(StreamReader):
    """What an app reads of a stream that an event is taken out of: a reader of aiohttp's own, filled as it is read.

    It says of its connection, of failures and of the server's chunks what the stream's own reader says.
    """

    __slots__ = ("_extra", "_inner")

    def __init__(self, inner: Watched, extra: ExtraChunk) -> None:
        super().__init__(_Unpaced(), inner.get_read_buffer_limits()[0])  # type: ignore[arg-type]
        self.begin_http_chunk_receiving()
        self._inner = inner
        self._extra = extra

    async def _wait(self, func_name: str) -> None:
        """Get more to read: where every read of a `StreamReader` waits while it has nothing."""
        chunk, chunk_ended = await self._inner.readchunk()
        ended = self._inner.at_eof()
        try:
            self.feed_data(self._extra.pass_on(chunk))
        except UndecodableError as error:
            raise ClientPayloadError(str(error)) from None
        if ended:
            self.feed_data(self._extra.rest())
        if chunk_ended:
            self.end_http_chunk_receiving()
        if ended:
            self.feed_eof()

    def exception(self) -> Any:
        """Return what went wrong with the connection."""
        return self._inner.exception()

    def set_exception(self, *args: Any, **kwargs: Any) -> None:
        """Give up the rest of the body."""
        super().set_exception(*args, **kwargs)
        self._inner.set_exception(*args, **kwargs)


class _Unpaced:
    """Stand in for a reader's connection, which is paced by the reader behind it."""

    connected = True
    _reading_paused = False

    def pause_reading(self, *_: Any, **__: Any) -> None:
        pass

    def resume_reading(self, *_: Any, **__: Any) -> None:
        pass
