"""Plays that end while an answer is still coming in."""

from __future__ import annotations

import asyncio
import os
import signal
import threading
from collections.abc import Callable
from typing import Any

import payi_middleware as payi
from tests.lifecycle import sdks
from tests.lifecycle.stage import Tell
from tests.transport.calling import STREAMED, stand_in

_kept: list[Any] = []
_ENDLESS = stand_in(endless=True)


def stream_is_kept(tell: Tell, settings: dict[str, Any]) -> None:
    """The app has begun to read a stream, and something holds it still."""
    payi.instrument(payi.Settings(**settings))
    stream = sdks.sync.chat.completions.create(**STREAMED, extra_headers=_ENDLESS)
    tell(next(stream).id)
    _kept.append(stream)


def stream_is_unread(tell: Tell, settings: dict[str, Any]) -> None:
    """The app has the head of an answer, and has read nothing of it."""
    payi.instrument(payi.Settings(**settings))
    _kept.append(sdks.sync.chat.completions.create(**STREAMED, extra_headers=_ENDLESS))


def async_stream_is_kept(tell: Tell, settings: dict[str, Any]) -> None:
    """The same in a task, on a loop that nobody closes: closing it would end the stream."""

    async def ask() -> None:
        stream = await sdks.asynchronous.chat.completions.create(**STREAMED, extra_headers=_ENDLESS)
        chunks = aiter(stream)
        tell((await anext(chunks)).id)
        _kept.extend((stream, chunks))

    payi.instrument(payi.Settings(**settings))
    _kept.append(asyncio.new_event_loop())
    _kept[0].run_until_complete(ask())


def daemon_reads_on(tell: Tell, settings: dict[str, Any]) -> None:
    """A daemon thread reads a stream that has no end."""
    begun = threading.Event()

    def read() -> None:
        for chunk in sdks.sync.chat.completions.create(**STREAMED, extra_headers=_ENDLESS):
            if not begun.is_set():
                tell(chunk.id)
                begun.set()

    payi.instrument(payi.Settings(**settings))
    threading.Thread(target=read, daemon=True).start()
    assert begun.wait(30)


def daemon_asks_on(tell: Tell, settings: dict[str, Any]) -> None:
    """Daemon threads make one call after the other until there is no interpreter any more."""
    enough = threading.Semaphore(0)

    def ask() -> None:
        while True:
            tell(sdks.plain(sdks.sync))
            enough.release()

    payi.instrument(payi.Settings(**settings))
    for _ in range(3):
        threading.Thread(target=ask, daemon=True).start()
    for _ in range(10):
        enough.acquire()


def stream_outlives_close(tell: Tell, settings: dict[str, Any]) -> None:
    """A stream ends when the meter has been closed already, and the process is killed then."""
    meter = payi.instrument(payi.Settings(**settings))
    stream = sdks.sync.chat.completions.create(**STREAMED, extra_headers=sdks.LONG)
    tell(next(stream).id)
    assert meter.close()
    assert list(stream)
    os.kill(os.getpid(), signal.SIGKILL)


def call_ends_within_close(tell: Tell, settings: dict[str, Any]) -> None:
    """A call is made when the meter is just being closed; it is used on."""
    _used_within_close(settings, lambda: tell(sdks.plain(sdks.sync)))


def stream_ends_within_close(tell: Tell, settings: dict[str, Any]) -> None:
    """A stream ends when the meter is just being closed; it is used on."""
    streams: list[Any] = []

    def begin() -> None:
        streams.append(sdks.sync.chat.completions.create(**STREAMED, extra_headers=sdks.LONG))
        tell(next(streams[0]).id)

    _used_within_close(settings, lambda: list(streams[0]), begin)


def _used_within_close(settings: dict[str, Any], use: Callable[[], Any], begin: Callable[[], Any] = bool) -> None:
    meter = payi.instrument(payi.Settings(**settings))
    begin()
    meter.open()
    dispatcher = meter._delivery._dispatcher
    assert dispatcher is not None
    close = dispatcher.stock.close

    def close_late(*arguments: Any) -> None:  # nothing of ours could be asked to come in at that moment
        use()
        close(*arguments)

    dispatcher.stock.close = close_late  # type: ignore[method-assign, assignment]
    assert meter.close()
    assert meter.flush(30)
    os._exit(0)
