"""How late an event loop is while provider calls are made on it, and how much of that is our doing.

Whatever else runs on the machine makes a loop late, too. What our threads are to blame for is no more than the CPU time
that they have had meanwhile, and no more than the loop did not wait for a core to run on, where the system tells that:
https://docs.kernel.org/scheduler/sched-stats.html
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from statistics import quantiles
from tempfile import TemporaryDirectory
from time import perf_counter, process_time, thread_time
from typing import Any

import httpx2

from benchmarks.outage import process_of
from benchmarks.parsing import ASKED, PROVIDER, answer
from payi_middleware import Settings, flush, instrument, uninstrument

__all__ = ["table"]

RATE, AT_ONCE, SECONDS, ROUNDS = 300, 20, 2.0, 4
_TICK = 0.001
BUDGET = 0.005


@dataclass(frozen=True, slots=True)
class Tick:
    """By how many seconds the loop was late, and how many of these at most our threads are to blame for."""

    late: float
    ours: float


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


async def _ticks(settings: Settings | None) -> list[Tick]:
    ticks: list[Tick] = []
    ended = asyncio.Event()

    told = _opened()

    async def probe() -> None:
        while not ended.is_set():
            due, before, queued = perf_counter() + _TICK, _others(), _queued(told)
            await asyncio.sleep(_TICK)
            late = max(0.0, perf_counter() - due)
            ours = min(late - (_queued(told) - queued), _others() - before)
            ticks.append(Tick(late, max(0.0, ours)))

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
    return ticks


def _cases(directory: Path, ingest: str) -> Mapping[str, Settings | None]:
    journal = directory / "journal"
    return {
        "without us": None,
        "to a service, results waited for": Settings(base_url=ingest, journal=journal),
        'to a service, `headers="off"`': Settings(base_url=ingest, journal=journal, headers="off"),
        "to the embedded ledger": Settings(ledger=directory / "payi.db", journal=journal),
        "the service is down": Settings(base_url="http://127.0.0.1:9", journal=journal),
    }


def _measured() -> Iterator[tuple[str, list[Tick]]]:
    with TemporaryDirectory() as name, process_of("benchmarks.ledger_ingest", name) as ingest:
        cases = _cases(Path(name), ingest)
        for settings in cases.values():
            asyncio.run(_ticks(settings))  # imports, and the first connection
        told: dict[str, list[Tick]] = {name: [] for name in cases}
        for _ in range(ROUNDS):
            for case, settings in cases.items():
                told[case] += asyncio.run(_ticks(settings))
        yield from told.items()


def _figures(seconds: list[float]) -> str:
    parts = quantiles(seconds, n=1000)
    return " | ".join(f"{each * 1e3:.2f}" for each in (parts[499], parts[989], max(seconds)))


def table() -> str:
    """Measure, and return the table."""
    rows, worst = "", 0.0
    for name, ticks in _measured():
        ours = [tick.ours for tick in ticks]
        worst = max(worst, max(ours))
        rows += f"| {name} | {_figures([tick.late for tick in ticks])} | {_figures(ours)} |\n"
    verdict = "It never was" if worst <= BUDGET else f"It was for up to {worst * 1e3:.1f} ms"
    return f"""\
An asyncio event loop that makes {RATE} provider calls a second, {AT_ONCE} at once: by how much it is late (ms), and
what of that is our doing at most: no more than the CPU time that our threads have had meanwhile, and than the time in
which the loop did not wait for a core, which others on the machine take from it. The loop may be held up by us for
{BUDGET * 1e3:g} ms. {verdict}.

| reports go | late, median | 99th percentile | most | by us, median | 99th percentile | most |
|---|---|---|---|---|---|---|
{rows}"""
