"""Every way in which an async handler hands work to a task or a thread, as one table.

A bridge is called inside a `track_context`; whatever it starts must know the request and that block.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import anyio
import anyio.from_thread
import anyio.to_thread
from asgiref.sync import async_to_sync, sync_to_async

from tests.attribution.asgi_kit import Kit, Truth

Run = Callable[[Kit, Truth], Awaitable[Any]]


@dataclass(frozen=True, slots=True)
class Bridge:
    """One row: how to run it, and how many provider calls it makes."""

    run: Run
    calls: int = 2


BRIDGES: dict[str, Bridge] = {}


def bridge(name: str, *, calls: int = 2) -> Callable[[Run], Run]:
    def add(run: Run) -> Run:
        BRIDGES[name] = Bridge(run, calls)
        return run

    return add


# --- tasks ---------------------------------------------------------------------------------------------------------


@bridge("a blocking call on the event loop")
async def _block(kit: Kit, truth: Truth) -> None:
    kit.ask(truth)


@bridge("asyncio.gather", calls=3)
async def _gather(kit: Kit, truth: Truth) -> None:
    await asyncio.gather(kit.aask(truth), kit.acall(truth))


@bridge("asyncio.TaskGroup", calls=3)
async def _task_group(kit: Kit, truth: Truth) -> None:
    async with asyncio.TaskGroup() as group:
        group.create_task(kit.aask(truth))
        group.create_task(kit.acall(truth))


@bridge("asyncio.create_task")
async def _create_task(kit: Kit, truth: Truth) -> None:
    await asyncio.create_task(kit.aask(truth))


@bridge("loop.call_soon")
async def _call_soon(kit: Kit, truth: Truth) -> None:
    loop = asyncio.get_running_loop()
    started = loop.create_future()
    loop.call_soon(lambda: started.set_result(loop.create_task(kit.aask(truth))))
    await (await started)


@bridge("anyio task group", calls=3)
async def _anyio_group(kit: Kit, truth: Truth) -> None:
    async with anyio.create_task_group() as group:
        group.start_soon(kit.aask, truth)
        group.start_soon(kit.acall, truth)


# --- threads -------------------------------------------------------------------------------------------------------


@bridge("asyncio.to_thread")
async def _to_thread(kit: Kit, truth: Truth) -> None:
    await asyncio.to_thread(kit.ask, truth)


@bridge("anyio.to_thread")
async def _anyio_to_thread(kit: Kit, truth: Truth) -> None:
    await anyio.to_thread.run_sync(kit.ask, truth)


@bridge("anyio.from_thread")
async def _anyio_from_thread(kit: Kit, truth: Truth) -> None:
    await anyio.to_thread.run_sync(lambda: anyio.from_thread.run(kit.aask, truth))


@bridge("run_coroutine_threadsafe")
async def _threadsafe(kit: Kit, truth: Truth) -> None:
    loop = asyncio.get_running_loop()
    await asyncio.to_thread(lambda: asyncio.run_coroutine_threadsafe(kit.aask(truth), loop).result())


@bridge("run_in_executor of the loop's own")
async def _default_executor(kit: Kit, truth: Truth) -> None:
    await asyncio.get_running_loop().run_in_executor(None, kit.ask, truth)


@bridge("run_in_executor of a shared pool")
async def _executor(kit: Kit, truth: Truth) -> None:
    await asyncio.get_running_loop().run_in_executor(kit.pool, kit.ask, truth)


@bridge("ThreadPoolExecutor.submit to a shared pool", calls=3)
async def _submit(kit: Kit, truth: Truth) -> None:
    futures = [kit.pool.submit(kit.ask, truth), kit.pool.submit(kit.call, truth)]
    await asyncio.gather(*map(asyncio.wrap_future, futures))


@bridge("ThreadPoolExecutor.map in a thread")
async def _map(kit: Kit, truth: Truth) -> None:
    await anyio.to_thread.run_sync(lambda: list(kit.pool.map(kit.ask, [truth])))


@bridge("threading.Timer")
async def _timer(kit: Kit, truth: Truth) -> None:
    await _joined(threading.Timer(0, kit.ask, args=(truth,)))


@bridge("threading.Thread, started by another", calls=3)
async def _thread(kit: Kit, truth: Truth) -> None:
    def start() -> None:
        kit.call(truth)
        inner = threading.Thread(target=kit.ask, args=(truth,))
        inner.start()
        inner.join()

    await _joined(threading.Thread(target=start))


async def _joined(thread: threading.Thread) -> None:
    thread.start()
    await anyio.to_thread.run_sync(thread.join)


# --- asgiref -------------------------------------------------------------------------------------------------------


@bridge("sync_to_async")
async def _sync_to_async(kit: Kit, truth: Truth) -> None:
    await sync_to_async(kit.ask)(truth)


@bridge("sync_to_async, thread_sensitive=False")
async def _sync_to_async_free(kit: Kit, truth: Truth) -> None:
    await sync_to_async(kit.ask, thread_sensitive=False)(truth)


@bridge("async_to_sync below sync_to_async")
async def _there_and_back(kit: Kit, truth: Truth) -> None:
    await sync_to_async(partial(async_to_sync(kit.aask), truth), thread_sensitive=False)()


@bridge("async_to_sync in a thread of anyio")
async def _async_to_sync(kit: Kit, truth: Truth) -> None:
    async def ask() -> None:
        async with kit.new_async_client() as client:
            await kit.aask(truth, client)

    await anyio.to_thread.run_sync(async_to_sync(ask))
