"""The least that puts a call on record in Python: a floor for whoever does that, and no tool that anybody could use.

It keeps when the call began, what came back, and when that was, in memory that outlives the process. Whose call it was,
which provider's, what it cost, whether a limit had room for it, and that any of this may go wrong, it does not ask.
"""

from __future__ import annotations

import mmap
from collections import deque
from collections.abc import AsyncIterator, Iterator, Mapping
from pathlib import Path
from struct import Struct
from time import perf_counter, time
from typing import Any

import httpx2

from benchmarks.peers.tools.base import CALL, Tool

_SLOT, _SLOTS = 4096, 1024
_HEAD = Struct("<HHdddd")
"""Whether there is a record, the status, and the moments."""
_LAST = 4
"""Pieces of an answer that are kept: all of a plain one."""


class Least(Tool):
    """Write each call down when its answer has come in."""

    _map: mmap.mmap
    _recorded = 0

    def start(self) -> None:
        """Make the file, all of it, as a hole in it would be filled by the first that is written there."""
        with (Path(self.options["folder"]) / "records").open("wb+") as file:
            file.write(bytes(_SLOT * _SLOTS))
            file.flush()
            self._map = mmap.mmap(file.fileno(), _SLOT * _SLOTS)
        self._free = list(range(_SLOTS))
        self._waiting: deque[int] = deque()

    def client(self, client: Any) -> None:
        """Put it in the way of all that a client sends."""
        made = _Transport if isinstance(client, httpx2.Client) else _AsyncTransport
        client._transport = made(client._transport, self)

    def put(self, url: Any, status: int, begun: float, started: float, first: float, pieces: deque[bytes]) -> None:
        """Write a record, and queue it for whoever would report it."""
        if not self._free:
            self.flush()
        told = _HEAD.pack(1, status, begun, started, first, perf_counter())
        record = b"\n".join((told, url.raw_path, *pieces))[:_SLOT]
        slot = self._free.pop()
        self._map[slot * _SLOT : slot * _SLOT + len(record)] = record
        self._waiting.append(slot)

    def flush(self) -> None:
        """Read what waits, and clear it."""
        while self._waiting:
            slot = self._waiting.popleft()
            self._recorded += _HEAD.unpack_from(self._map, slot * _SLOT)[0]
            self._map[slot * _SLOT] = 0
            self._free.append(slot)

    def recorded(self) -> Mapping[str, int]:
        """Count the records."""
        return {CALL: self._recorded}


class _Stream(httpx2.SyncByteStream, httpx2.AsyncByteStream):
    def __init__(self, inner: Any, tool: Least, url: Any, status: int, begun: float, started: float) -> None:
        self._inner = inner
        self._tool = tool
        self._call = url, status, begun, started

    def __iter__(self) -> Iterator[bytes]:
        first = 0.0
        pieces: deque[bytes] = deque(maxlen=_LAST)
        for piece in self._inner:
            first = first or perf_counter()
            pieces.append(piece)
            yield piece
        self._tool.put(*self._call, first, pieces)

    async def __aiter__(self) -> AsyncIterator[bytes]:
        first = 0.0
        pieces: deque[bytes] = deque(maxlen=_LAST)
        async for piece in self._inner:
            first = first or perf_counter()
            pieces.append(piece)
            yield piece
        self._tool.put(*self._call, first, pieces)

    def close(self) -> None:
        self._inner.close()

    async def aclose(self) -> None:
        await self._inner.aclose()


class _Transport(httpx2.BaseTransport):
    def __init__(self, inner: Any, tool: Least) -> None:
        self._inner, self._tool = inner, tool

    def handle_request(self, request: Any) -> Any:
        begun, started = time(), perf_counter()
        response = self._inner.handle_request(request)
        response.stream = _Stream(response.stream, self._tool, request.url, response.status_code, begun, started)
        return response


class _AsyncTransport(httpx2.AsyncBaseTransport):
    def __init__(self, inner: Any, tool: Least) -> None:
        self._inner, self._tool = inner, tool

    async def handle_async_request(self, request: Any) -> Any:
        begun, started = time(), perf_counter()
        response = await self._inner.handle_async_request(request)
        response.stream = _Stream(response.stream, self._tool, request.url, response.status_code, begun, started)
        return response


TOOL = Least
