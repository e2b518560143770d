"""How late an event loop is while provider calls are made on it, and how much of that is our doing.

Whatever else runs on the machine makes a loop late, too. What our threads are to blame for is no more than the CPU time
that they have had meanwhile, and no more than the loop did not wait for a core to run on, where the system tells that:
https://docs.kernel.org/scheduler/sched-stats.html
The interpreter's full collections are told apart: how long one takes depends on all that the app has in memory, and it
runs on whichever thread happens to make the object that is one too many.
"""

from __future__ import annotations

import asyncio
import gc
import os
from array import array
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from statistics import quantiles
from tempfile import TemporaryDirectory
from time import perf_counter, process_time, thread_time
from typing import Any, Self

import httpx2

from benchmarks.outage import process_of
from benchmarks.parsing import ASKED, PROVIDER, answer
from payi_middleware import Settings, flush, instrument, uninstrument

__all__ = ["table"]

RATE, AT_ONCE, SECONDS, ROUNDS = 300, 20, 2.0, 4
_TICK = 0.001
BUDGET = 0.005
_FULL = 2


@dataclass(frozen=True, slots=True)
class Ticks:
    """By how many seconds the loop was late, and how many of these at most our threads are to blame for.

    Arrays, as objects that are kept would make the interpreter look through all that there are, again and again.
    """

    late: array[float] = field(default_factory=lambda: array("d"))
    ours: array[float] = field(default_factory=lambda: array("d"))


class Collections:
    """The interpreter's full collections while this is entered: how many, and their seconds."""

    def __init__(self) -> None:
        self.number, self.seconds, self.longest = 0, 0.0, 0.0
        self._begun = 0.0

    def __enter__(self) -> Self:
        gc.callbacks.append(self._told)
        return self

    def __exit__(self, *_: object) -> None:
        gc.callbacks.remove(self._told)

    def _told(self, phase: str, info: dict[str, int]) -> None:
        if info["generation"] < _FULL:
            return
        if phase == "start":
            self._begun = perf_counter()
        else:
            took = perf_counter() - self._begun
            self.number, self.seconds, self.longest = self.number + 1, self.seconds + took, max(self.longest, took)


def _opened() -> int | None:
    """Open what tells how long the loop's thread has waited for a core."""
    try:
        return os.open("/proc/thread-self/schedstat", os.O_RDONLY)
    except OSError:
        return None


def _queued(told: int | None) -> float:
    """Return the seconds for which it has."""
    return 0.0 if told is None else int(os.pread(told, 100, 0).split()[1]) / 1e9


def _others() -> float:
    """Return the CPU seconds that the other threads of this process have had."""
    return process_time() - thread_time()


async def _tick(settings: Settings | None, ticks: Ticks, collections: Collections) -> None:
    ended = asyncio.Event()

    told = _opened()

    async def probe() -> None:
        while not ended.is_set():
            due, before, queued = perf_counter() + _TICK, _others(), _queued(told)
            collected = collections.seconds
            await asyncio.sleep(_TICK)
            late = max(0.0, perf_counter() - due)
            ours = min(late - (_queued(told) - queued), _others() - before)
            if ours > BUDGET:
                await asyncio.sleep(_TICK)  # the thread that has collected may not have got round to saying so
            ours -= collections.seconds - collected
            ticks.late.append(late)
            ticks.ours.append(max(0.0, ours))

    async def call(client: Any, number: int) -> None:
        due = perf_counter() + number / RATE
        for _ in range(int(RATE * SECONDS / AT_ONCE)):
            await asyncio.sleep(max(0.0, due - perf_counter()))
            await client.post(PROVIDER, json=ASKED)
            due += AT_ONCE / RATE

    if settings is not None:
        instrument(settings)
    probing = asyncio.create_task(probe())
    async with httpx2.AsyncClient(transport=httpx2.MockTransport(answer)) as client:
        await asyncio.gather(*(call(client, number) for number in range(AT_ONCE)))
    ended.set()
    await probing
    if told is not None:
        os.close(told)
    await asyncio.to_thread(flush, 1)
    uninstrument()


def _cases(directory: Path, ingest: str) -> Mapping[str, Settings | None]:
    journal = directory / "journal"
    return {
        "without us": None,
        "to a service, results waited for": Settings(base_url=ingest, journal=journal),
        'to a service, `headers="off"`': Settings(base_url=ingest, journal=journal, headers="off"),
        "to the embedded ledger": Settings(ledger=directory / "payi.db", journal=journal),
        "the service is down": Settings(base_url="http://127.0.0.1:9", journal=journal),
    }


def _measured(collections: Collections) -> Iterator[tuple[str, Ticks]]:
    with TemporaryDirectory() as name, process_of("benchmarks.ledger_ingest", name) as ingest:
        cases = _cases(Path(name), ingest)
        for settings in cases.values():
            asyncio.run(_tick(settings, Ticks(), Collections()))  # imports, and the first connection
        told = {name: Ticks() for name in cases}
        with collections:
            for _ in range(ROUNDS):
                for case, settings in cases.items():
                    asyncio.run(_tick(settings, told[case], collections))
        yield from told.items()


def _figures(seconds: array[float]) -> str:
    parts = quantiles(seconds, n=1000)
    return " | ".join(f"{each * 1e3:.2f}" for each in (parts[499], parts[989], max(seconds)))


def table() -> str:
    """Measure, and return the table."""
    rows, worst, collections = "", 0.0, Collections()
    for name, ticks in _measured(collections):
        worst = max(worst, max(ticks.ours))
        rows += f"| {name} | {_figures(ticks.late)} | {_figures(ticks.ours)} |\n"
    calls = ROUNDS * RATE * SECONDS * rows.count("\n")
    verdict = "It never was" if worst <= BUDGET else f"It was for up to {worst * 1e3:.1f} ms"
    return f"""\
An asyncio event loop that makes {RATE} provider calls a second, {AT_ONCE} at once: by how much it is late (ms), and
what of that is our doing at most: no more than the CPU time that our threads have had meanwhile, and than the time in
which the loop did not wait for a core, which others on the machine take from it. The loop may be held up by us for
{BUDGET * 1e3:g} ms. {verdict}. A full garbage collection stops all threads for as long as it takes to look
through all that the app has in memory, whoever causes it, so it is not counted as our doing: there were
{collections.number} in {calls:,.0f} calls, of up to {collections.longest * 1e3:.0f} ms.

| reports go | late, median | 99th percentile | most | by us, median | 99th percentile | most |
|---|---|---|---|---|---|---|
{rows}"""
