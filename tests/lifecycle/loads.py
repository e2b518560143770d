"""Plays of the kill tests: an app under load, and the processes that come after it."""

from __future__ import annotations

import asyncio
import atexit
import json
import os
import signal
import threading
from itertools import count
from pathlib import Path
from time import monotonic, sleep
from types import FrameType
from typing import Any

import payi_middleware as payi
from payi_middleware.journal.inspection import processes
from payi_middleware.meter import Meter
from tests.lifecycle import sdks
from tests.lifecycle.stage import Tell

_ON_DISK = {"open", "close", "lockf", "rename", "unlink", "execute", "executemany", "executescript", "__exit__"}
"""What changes files, or locks them: functions of `os`, `fcntl` and `sqlite3`."""


def load(tell: Tell, user: str, settings: dict[str, Any], calls: int | None = None) -> None:
    """Ask the provider from two threads and two tasks until killed, or `calls` times each."""
    payi.instrument(sdks.settings_of({**settings, "user_id": user}))
    ending = threading.Event()
    atexit.register(ending.set)  # after ours, so that it is done before ours

    def tell_until_the_end(answer: object) -> None:
        # A daemon reads on while its process ends, which has reported the streams that were open as far as they came.
        if not ending.is_set():
            tell(answer)

    rounds = None if calls is None else range(calls)
    threads = [
        threading.Thread(target=_ask, args=(tell_until_the_end, each, rounds), daemon=True)
        for each in (sdks.plain, sdks.streamed)
    ]
    for thread in threads:
        thread.start()
    asyncio.run(_gather(tell, rounds))
    for thread in threads:
        thread.join()


def spill(tell: Tell, user: str, settings: dict[str, Any], least: int) -> None:
    """Do what `load` does, and tell nothing before more than so many reports have been put into files."""
    lock, held = threading.Lock(), list[object]()
    spilled = False

    def tell_once_spilled(answer: object) -> None:
        nonlocal spilled
        with lock:
            held.append(answer)
            if not spilled and len(held) % 20 == 0:
                spilled = sum(process.counts().pending for process in processes(Path(settings["journal"]))) > least
            while spilled and held:
                tell(held.pop(0))

    load(tell_once_spilled, user, settings)


def _ask(tell: Tell, ask: Any, rounds: range | None) -> None:
    for _ in rounds or count():
        tell(ask(sdks.sync))


async def _gather(tell: Tell, rounds: range | None) -> None:
    async def keep_on(ask: Any) -> None:
        for _ in rounds or count():
            tell(await ask(sdks.asynchronous))

    await asyncio.gather(keep_on(sdks.aplain), keep_on(sdks.astreamed))


def adopt(tell: Tell, settings: dict[str, Any], left: list[str], patience: float = 60.0) -> None:
    """Be the next process: take over what others have left, deliver it, and end as programs do.

    Args:
        left: the journals of processes that have ended.
    """
    meter = payi.instrument(sdks.settings_of(settings))
    meter.open()
    deadline = monotonic() + patience
    while not _is_all_delivered(meter, left):
        assert monotonic() < deadline, meter.stats()
        sleep(0.005)
    tell(json.dumps(meter.stats()))


def _is_all_delivered(meter: Meter, left: list[str]) -> bool:
    return not any(map(os.path.exists, left)) and meter.flush(10) and not meter.stats()["queued"]


def die(tell: Tell, settings: dict[str, Any], left: list[str], step: int) -> None:
    """Be the next process, and be killed before or after the threads of ours have gone to the disk so many times."""
    steps = count(1)

    def die_at_step(frame: FrameType, event: str, called: Any) -> None:
        if event in ("c_call", "c_return") and called.__name__ in _ON_DISK and next(steps) == step:
            os.kill(os.getpid(), signal.SIGKILL)

    threading.setprofile(die_at_step)
    meter = payi.instrument(sdks.settings_of(settings))
    meter.open()
    while not _is_all_delivered(meter, left):
        sleep(0.001)
    tell("delivered")
