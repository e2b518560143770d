"""The body of a urllib3 response, seen as it is read, and never ahead of whom it is for: botocore's and requests'."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import cache, partial
from typing import Any

from .calls import wait
from .log import warn
from .proxying.sieves import Sieve
from .recorder import Exchange
from .stream_usage import taking_out


def hold(exchange: Exchange) -> None:
    """Block until the result of an exchange that has ended is in, where the app wants that."""
    if not exchange.open and (seconds := exchange.held_for):
        wait((exchange.call,), seconds)


def watch(
    raw: Any,
    exchange: Exchange,
    status: int,
    headers: Mapping[str, str],
    *,
    asked: bool = False,
    sieve: Sieve | None = None,
) -> None:
    """See what is read of a body, and end the exchange with it.

    Args:
        raw: a response of urllib3's. It becomes a watched one in place: whatever anybody does with it, down to its
            socket, stays as it is.
        exchange: the call, whose response has begun.
        status: the response's.
        headers: the response's, by lower-case names.
        asked: its usage was asked for without the app's knowing, so the chunk that tells it is taken out again.
        sieve: takes out what Pay-i's proxy has added.

    Raises:
        TypeError, AttributeError: it is none of urllib3's.
    """
    watching = raw.payi_watch = _Watch(exchange, status, headers, asked=asked, decodes=_decodes(raw, headers))
    watching.extra = sieve
    raw.__class__ = _watched(raw.__class__)


class _Watch:
    """Follow the reading of one body to its end."""

    __slots__ = ("_asked", "_begun", "_headers", "_kept", "_status", "decodes", "exchange", "extra", "reading")

    def __init__(
        self, exchange: Exchange, status: int, headers: Mapping[str, str], *, asked: bool, decodes: bool
    ) -> None:
        self.exchange = exchange
        self.decodes = decodes  # where that is wanted
        self.reading = False  # urllib3 closes a response that breaks before it says so
        self._status = status
        self._headers = headers
        self._asked = asked
        self._begun = False
        self.extra: Sieve | None = None
        self._kept = b""  # what may be passed on and was not asked for yet

    def during(self, read: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        """Read, and see to it that a failure is reported."""
        self.reading = True
        try:
            return read(*args, **kwargs)
        except Exception as error:
            self.exchange.fail(error)
            raise
        except BaseException:  # an interrupt, a killed greenlet
            self.exchange.finish(finalising=True)
            raise
        finally:
            self.reading = False

    def read(self, raw: Any, read: Callable[[int | None], Any], amt: int | None, *, whole: bool, decoded: bool) -> Any:
        """Read, and return what the app gets of it.

        Args:
            raw: the response.
            read: reads, at most as many bytes as it is given.
            amt: how many bytes the app wants at most.
            whole: it wants everything.
            decoded: it wants them without the encoding that the headers tell.
        """
        while whole or not self._kept:
            chunk = self.during(read, amt)
            passed = self.take(raw, chunk, decoded=decoded)
            over = whole or (not chunk and amt != 0 and _is_closed(raw))
            if over:
                self.end(raw)
            if self.extra is None or chunk is None:
                return chunk
            self._kept += passed + (self.extra.rest() if over else b"")
            if over or amt == 0:
                break
        end = len(self._kept) if whole or amt is None else amt
        passed, self._kept = self._kept[:end], self._kept[end:]
        return passed

    def take(self, raw: Any, chunk: bytes | None, *, decoded: bool) -> Any:
        """See the next bytes, and return what the app gets of them.

        Args:
            raw: the response.
            chunk: the bytes.
            decoded: they come without the encoding that the headers tell.
        """
        exchange = self.exchange
        if chunk and not self._begun:
            self._begin(decoded)
        passed = self.extra.pass_on(chunk) if chunk and self.extra is not None else chunk
        if not exchange.open:
            return passed
        if chunk and exchange.feed(chunk):
            hold(exchange)
        elif not decoded and getattr(raw, "length_remaining", None) == 0:
            self.end(raw)
        return passed

    def _begin(self, decoded: bool) -> None:
        """Find out how the bytes come: the first ones tell, as each read may ask for them as it likes."""
        self._begun = True
        try:
            encoded = self._headers.get("content-encoding", "identity") != "identity"
            if decoded and encoded:
                self.exchange.respond(self._status, self._headers, decoded=True)
            if self._asked and (decoded or not encoded):
                self.extra = taking_out(self._status, self._headers, decoded=True)
        except Exception as error:  # noqa: BLE001 - fail open: the app reads on
            warn("respond", "A provider response could not be watched: %s", type(error).__name__)

    def rest(self) -> bytes:
        """Return what was not passed on yet when the body has ended."""
        if self.extra is None:
            return b""
        rest, self._kept = self._kept + self.extra.rest(), b""
        return rest

    def end(self, raw: Any) -> None:
        """See the body's end, be it that the connection was cut off."""
        if self.exchange.open:
            self.exchange.finish(complete=not getattr(raw, "length_remaining", None))
            hold(self.exchange)

    def leave(self, raw: Any) -> None:
        """See that nobody will read any more."""
        self.exchange.finish(complete=getattr(raw, "length_remaining", None) == 0, finalising=True)


@cache
def _watched(base: Any) -> Any:
    """Make a class of urllib3's responses whose reads are watched."""

    class Watched(base):  # type: ignore[misc]
        payi_watch: _Watch
        _body: Any

        def _payi_read(self, read: Any, amt: int | None, whole: bool, decode_content: bool | None) -> Any:
            wanted = self.decode_content if decode_content is None else decode_content
            watch = self.payi_watch
            return watch.read(self, read, amt, whole=whole, decoded=watch.decodes and bool(wanted))

        def read(self, amt: int | None = None, decode_content: bool | None = None, cache_content: bool = False) -> Any:
            read = partial(super().read, decode_content=decode_content, cache_content=cache_content)
            passed = self._payi_read(read, amt, amt is None or amt < 0, decode_content)
            if cache_content and self._body:
                self._body = passed
            return passed

        if hasattr(base, "read1"):  # of urllib3 2

            def read1(self, amt: int | None = None, decode_content: bool | None = None) -> Any:
                return self._payi_read(
                    partial(super().read1, decode_content=decode_content), amt, False, decode_content
                )

        def read_chunked(self, amt: int | None = None, decode_content: bool | None = None) -> Iterator[Any]:
            watch = self.payi_watch
            chunks = super().read_chunked(amt, decode_content=decode_content)
            decoded = watch.decodes and bool(decode_content)
            try:
                while (chunk := watch.during(next, chunks, None)) is not None:
                    if passed := watch.take(self, chunk, decoded=decoded):
                        yield passed
            except GeneratorExit:
                chunks.close()  # which closes the connection
                watch.leave(self)
                raise
            watch.end(self)
            if rest := watch.rest():
                yield rest

        def stream(self, *args: Any, **kwargs: Any) -> Iterator[Any]:
            yield from super().stream(*args, **kwargs)
            if _is_closed(self):
                self.payi_watch.end(self)
                if rest := self.payi_watch.rest():
                    yield rest

        def close(self) -> None:
            try:
                super().close()
            finally:
                if not self.payi_watch.reading:
                    self.payi_watch.leave(self)

        def __del__(self) -> None:
            self.payi_watch.leave(self)
            super().__del__()

    Watched.__name__, Watched.__qualname__, Watched.__module__ = base.__name__, base.__qualname__, base.__module__
    return Watched


def _is_closed(raw: Any) -> bool:
    """Return whether a body is at its end: nothing read may as well be a few bytes that nothing can be decoded of."""
    try:
        return bool(raw.isclosed())
    except ValueError:  # there is nothing to read from, as in a body that was made in memory
        return True


def _decodes(raw: Any, headers: Mapping[str, str]) -> bool:
    """Return whether there is an encoding that urllib3 can undo; others it passes as they came."""
    names = headers.get("content-encoding", "").lower().split(",")
    return any(name.strip() in raw.CONTENT_DECODERS for name in names)
