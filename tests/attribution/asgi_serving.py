"""Real ASGI servers on real sockets: uvicorn, and hypercorn with its asyncio and trio workers."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import anyio.to_thread
import hypercorn.asyncio
import hypercorn.config
import hypercorn.trio
import trio
import uvicorn
from starlette.types import ASGIApp

Stop = threading.Event
Serve = Callable[[ASGIApp, socket.socket, Stop], None]

_STOP_SECONDS = 20.0


class _Uvicorn(uvicorn.Server):
    """Stops when it is told to, not at the next of its looks at the clock."""

    def __init__(self, app: ASGIApp, stop: Stop, **options: Any) -> None:
        super().__init__(uvicorn.Config(app, log_config=None, access_log=False, lifespan="on", **options))
        self._stop = stop

    async def main_loop(self) -> None:
        await self.on_tick(0)
        await _stopped(self._stop)


def _uvicorn(app: ASGIApp, listener: socket.socket, stop: Stop) -> None:
    asyncio.run(_Uvicorn(app, stop).serve(sockets=[listener]))


def _uvicorn_http2(app: ASGIApp, listener: socket.socket, stop: Stop) -> None:
    asyncio.run(_Uvicorn(app, stop, http="zttp", http2=True).serve(sockets=[listener]))


def _hypercorn(run: Callable[..., object], serve: Callable[..., object]) -> Serve:
    def run_hypercorn(app: ASGIApp, listener: socket.socket, stop: Stop) -> None:
        config = hypercorn.config.Config()
        config.bind = [f"fd://{listener.detach()}"]
        config.errorlog = config.accesslog = None
        run(partial(serve, app, config, shutdown_trigger=partial(_stopped, stop), mode="asgi"))

    return run_hypercorn


async def _stopped(stop: Stop) -> None:
    await anyio.to_thread.run_sync(stop.wait, abandon_on_cancel=True, limiter=anyio.CapacityLimiter(1))


def _run_asyncio(serve: Callable[[], object]) -> None:
    asyncio.run(serve())  # type: ignore[arg-type]


SERVERS: dict[str, Serve] = {
    "uvicorn": _uvicorn,
    "uvicorn-http2": _uvicorn_http2,
    "hypercorn-asyncio": _hypercorn(_run_asyncio, hypercorn.asyncio.serve),
    "hypercorn-trio": _hypercorn(trio.run, hypercorn.trio.serve),
}


@contextmanager
def serving(app: ASGIApp, server: str = "uvicorn") -> Iterator[str]:
    """Serve an app from a thread and yield `host:port`; what the app still does is finished before this ends."""
    stop = threading.Event()
    failures: list[BaseException] = []

    def run() -> None:
        try:
            SERVERS[server](app, listener, stop)
        except BaseException as error:  # noqa: BLE001 - it is raised again where the test sees it
            failures.append(error)

    with socket.create_server(("127.0.0.1", 0), backlog=512) as listener:
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)  # asyncio does so only for sockets it made
        address = f"127.0.0.1:{listener.getsockname()[1]}"
        thread = threading.Thread(target=run, name=server, daemon=True)
        thread.start()
        try:
            yield address
        finally:
            stop.set()
            thread.join(_STOP_SECONDS)
    if failures:
        raise failures[0]
    assert not thread.is_alive(), f"{server} did not stop"
