"""A process with one tool, asked over its standard input and output, one line of JSON each.

    python -m benchmarks.peers.worker TOOL OPTIONS

It runs in the tool's own environment, so it imports the standard library, the base of every environment, and the tool.
"""

from __future__ import annotations

import asyncio
import gc
import json
import os
import sys
from collections.abc import Awaitable, Callable, Mapping
from contextlib import nullcontext
from functools import partial
from time import process_time, thread_time
from typing import Any

from benchmarks.peers import provided
from benchmarks.peers.provided import ASKED, FOREIGN, PROVIDER, InProcess
from benchmarks.peers.tools.base import CALL, HTTP, SERVER, App, Tool, tool_of

_BIG_WORDS = "word " * 820
_BIG_CHUNKS = 5_000
PACE_STEPS = 2_500
"""Of the fixed piece of work that tells how quick the machine is just now."""


class Worker:
    """The scenarios, each a turn of a number of operations.

    Args:
        tool: what is measured.
    """

    def __init__(self, tool: Tool) -> None:
        self._tool = tool
        tool.start()
        self._runner = asyncio.Runner()
        self._app: App | None = None
        self._clients: dict[str, Any] = {}
        self._proved = 0

    def turn(self, scenario: str, operations: int) -> dict[str, float]:
        """Run a turn, and tell what an operation of it took and what was recorded.

        Returns:
            `cpu` and `thread` are CPU seconds of all threads and of the app's, and `pace` those that a fixed piece of
            work took before.
        """
        before = dict(self._tool.recorded())
        self._proved = 0
        work = getattr(self, f"_{scenario.replace('-', '_')}")
        gc.collect()
        pace = pace_now()
        with nullcontext() if scenario == "asgi" else self._tool.around():
            all_threads, own_thread = process_time(), thread_time()
            work(operations)
            own_thread = thread_time() - own_thread
        self._tool.flush()
        all_threads = process_time() - all_threads
        after = self._tool.recorded()
        return {
            "cpu": all_threads / operations,
            "thread": own_thread / operations,
            "pace": pace,
            "operations": operations,
            "proved": self._proved,
            **{kind: after.get(kind, 0) - before.get(kind, 0) for kind in (SERVER, CALL, HTTP)},
        }

    def _asgi(self, operations: int) -> None:
        app = self._app = self._app or self._tool.asgi(small_app())
        started: list[Any] = []
        self._runner.run(_request(app, operations, started))
        self._proved += sum(self._tool.in_headers(message["headers"]) for message in started)

    def _client(self, name: str, make: Callable[[], Any]) -> Any:
        if name not in self._clients:
            self._clients[name] = make()
        return self._clients[name]

    def _openai(self, name: str, *, asynchronous: bool, **how: Any) -> Any:
        def make() -> Any:
            import httpx2

            client = (httpx2.AsyncClient if asynchronous else httpx2.Client)(transport=InProcess(**how))
            self._tool.client(client)
            made = self._tool.openai(asynchronous=asynchronous)
            return made(api_key="key", base_url=PROVIDER, http_client=client, max_retries=0)

        return self._client(name, make)

    def _foreign(self, operations: int) -> None:
        def make() -> Any:
            import httpx2

            made = httpx2.Client(transport=InProcess())
            self._tool.client(made)
            return made

        client = self._client("foreign", make)
        for _ in range(operations):
            client.post(FOREIGN, json=ASKED)

    def _chat(self, operations: int) -> None:
        client = self._openai("chat", asynchronous=False)
        for _ in range(operations):
            client.chat.completions.create(**ASKED)

    def _chat_async(self, operations: int) -> None:
        client = self._openai("chat-async", asynchronous=True)

        async def ask() -> None:
            for _ in range(operations):
                await client.chat.completions.create(**ASKED)

        self._runner.run(ask())

    def _stream(self, operations: int) -> None:
        client = self._openai("stream", asynchronous=False, chunks=provided.CHUNKS)
        for _ in range(operations):
            _read(client)

    def _big_stream(self, operations: int) -> None:
        """Read streams of 20 MB."""
        client = self._openai("big", asynchronous=False, chunks=_BIG_CHUNKS, words=_BIG_WORDS)
        for _ in range(operations):
            _read(client)

    def _streams_at_once(self, operations: int) -> None:
        client = self._openai("many", asynchronous=True, chunks=provided.CHUNKS_AT_ONCE, yielding=True)

        async def read() -> None:
            stream = await client.chat.completions.create(**ASKED, stream=True)
            async for _ in stream:
                pass

        async def all_of_them() -> None:
            await asyncio.gather(*(read() for _ in range(operations)))

        self._runner.run(all_of_them())


def pace_now() -> float:
    """Return the seconds that a fixed piece of work takes: more, the more others use the machine."""
    start = thread_time()
    mixed = 0
    for number in range(PACE_STEPS):
        mixed ^= number * 7
    return thread_time() - start


def _read(client: Any) -> None:
    for _ in client.chat.completions.create(**ASKED, stream=True):
        pass


def small_app() -> App:
    """Make an app that makes no calls."""
    from starlette.applications import Starlette
    from starlette.requests import Request
    from starlette.responses import PlainTextResponse
    from starlette.routing import Route

    async def greet(request: Request) -> PlainTextResponse:
        return PlainTextResponse("hello")

    return Starlette(routes=[Route("/", greet)])


async def _request(app: App, operations: int, started: list[Any]) -> None:
    async def receive() -> Any:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: Mapping[str, Any]) -> None:
        if message["type"] == "http.response.start":
            started.append(message)

    headers = [(b"host", b"app.example"), (b"user-agent", b"benchmark"), (b"accept", b"*/*")]
    for _ in range(operations):
        await _answered(app, headers, receive, send)


def _answered(app: App, headers: list[tuple[bytes, bytes]], receive: Any, send: Any) -> Awaitable[None]:
    scope = {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.3"},
        "http_version": "1.1",
        "method": "GET",
        "scheme": "http",
        "path": "/",
        "raw_path": b"/",
        "query_string": b"",
        "root_path": "",
        "headers": headers,
        "client": ("127.0.0.1", 50000),
        "server": ("127.0.0.1", 8000),
        "state": {},
    }
    return app(scope, receive, send)


def peak(work: Callable[[], Any]) -> tuple[Any, float]:
    """Return what a piece of work returns, and the megabytes of memory that the process grew by at its peak."""
    gc.collect()
    before = _memory("VmRSS")
    with open("/proc/self/clear_refs", "w", encoding="ascii") as reset:
        reset.write("5")  # the peak starts anew: https://docs.kernel.org/filesystems/proc.html
    done = work()
    return done, _memory("VmHWM") - before


def _memory(name: str) -> float:
    with open("/proc/self/status", encoding="ascii") as status:
        return next(int(line.split()[1]) for line in status if line.startswith(f"{name}:")) / 1024


def main() -> None:
    """Answer questions until there are no more."""
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # whatever a library prints is no answer
    worker = Worker(tool_of(sys.argv[1], json.loads(sys.argv[2])))
    for line in sys.stdin:
        asked = json.loads(line)
        scenario, operations = asked["scenario"], asked["operations"]
        if asked.get("peak"):
            told, grown = peak(partial(worker.turn, scenario, operations))
            told["peak"] = grown
        else:
            told = worker.turn(scenario, operations)
        answers.write(json.dumps(told) + "\n")
        answers.flush()


if __name__ == "__main__":
    main()
