"""Threads tell an event loop that something has come, once for all that has come meanwhile."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import partial
from typing import Any

import anyio
import pytest

from payi_middleware.waking import loop_waker


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_what_threads_send_is_run_in_order_on_the_loop(backend: str) -> None:
    async def main() -> None:
        run_soon, arrived = loop_waker(), anyio.Event()
        await anyio.to_thread.run_sync(lambda: [run_soon(partial(told.append, number)) for number in range(5)])
        await anyio.to_thread.run_sync(run_soon, arrived.set)
        with anyio.fail_after(10):
            await arrived.wait()

    told: list[int] = []
    anyio.run(main, backend=backend)
    assert told == [0, 1, 2, 3, 4]


def test_a_busy_loop_is_woken_once_for_all_that_comes_meanwhile(monkeypatch: pytest.MonkeyPatch) -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        wake = loop.call_soon_threadsafe

        def counted(callback: Callable[..., object], *arguments: Any, **more: Any) -> asyncio.Handle:
            woken.append(callback)
            return wake(callback, *arguments, **more)

        monkeypatch.setattr(loop, "call_soon_threadsafe", counted)
        run_soon = loop_waker()
        for number in range(3):
            run_soon(partial(told.append, number))
        await asyncio.sleep(0)
        run_soon(partial(told.append, 3))
        await asyncio.sleep(0)

    told: list[int] = []
    woken: list[object] = []
    asyncio.run(main())
    assert (told, len(woken)) == ([0, 1, 2, 3], 2)


def test_one_that_fails_keeps_none_of_the_others_from_being_run() -> None:
    def fail() -> None:
        raise ValueError

    async def main() -> None:
        asyncio.get_running_loop().set_exception_handler(lambda _, context: failed.append(context["exception"]))
        run_soon, arrived = loop_waker(), asyncio.Event()
        run_soon(fail)
        run_soon(arrived.set)
        await asyncio.wait_for(arrived.wait(), 10)

    failed: list[BaseException] = []
    asyncio.run(main())
    assert [type(error) for error in failed] == [ValueError]


def test_a_closed_loop_is_no_error() -> None:
    async def main() -> Callable[[Callable[[], None]], None]:
        return loop_waker()

    told: list[int] = []
    run_soon = asyncio.run(main())
    run_soon(partial(told.append, 1))
    assert told == []
