"""An hour of outage at 50 calls a second, in fast motion: `python -m benchmarks.outage`."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from statistics import median, quantiles
from tempfile import TemporaryDirectory
from time import perf_counter, sleep
from typing import Any

import httpx2

__all__ = ["Outage", "outage", "process_of", "tables"]

HOUR, RATE = 180_000, 50
"""Reports of an hour, and requests a second while their latency is measured."""
REQUESTS = 250
PATIENCE = 600.0
"""Seconds within which everything has to be delivered."""


@contextmanager
def process_of(module: str, *arguments: str, **environment: str) -> Iterator[str]:
    """Run a server in a process of its own, and give its address."""
    with subprocess.Popen(
        [sys.executable, "-m", module, *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL if environment else None,  # an outage is logged, as it should be
        text=True,
        env={**os.environ, **environment},
    ) as process:
        assert process.stdout is not None
        try:
            yield process.stdout.readline().strip()
        finally:
            process.terminate()


@dataclass(frozen=True)
class Outage:
    """What was seen.

    Args:
        latencies: seconds of each request, by what was the matter meanwhile.
        residents: megabytes of the app's memory, by when.
        made: provider calls in all.
        delivered: of them, how many the service has accepted; `most` is how often it got the same at most.
        seconds: from the service's return until everything was delivered.
    """

    latencies: dict[str, list[float]]
    residents: dict[str, float]
    made: int
    delivered: int
    most: int
    seconds: float


async def _ask(url: str) -> list[float]:
    """Ask at the rate, whatever the answers take, and return what each took."""
    async with httpx2.AsyncClient() as client:

        async def ask(number: int) -> float:
            await asyncio.sleep(number / RATE)
            started = perf_counter()
            (await client.get(url)).raise_for_status()
            return perf_counter() - started

        return await asyncio.gather(*(ask(number) for number in range(REQUESTS)))


def outage() -> Outage:
    """Have an outage."""
    with (
        TemporaryDirectory() as journal,
        process_of("benchmarks.counting_ingest") as ingest,
        process_of("benchmarks.outage_app", PAYI_BASE_URL=ingest, PAYI_JOURNAL=journal, PAYI_HEADERS="off") as app,
        httpx2.Client(timeout=PATIENCE) as client,
    ):
        latencies: dict[str, list[float]] = {}
        residents: dict[str, float] = {}

        def stats() -> dict[str, Any]:
            return dict(client.get(f"{app}/stats").json())

        def phase(name: str, mode: str) -> None:
            client.post(f"{ingest}/mode", content=mode)
            latencies[name] = asyncio.run(_ask(app))
            residents[name] = stats()["resident"]

        asyncio.run(_ask(app))  # imports, and the first connections
        phase("before it", "ok")
        phase("the service answers 503", "503")
        phase("the service hangs", "hang")
        client.post(f"{app}/make", params={"count": HOUR - 2 * REQUESTS})
        phase(f"{HOUR:,} reports wait", "503")
        started = perf_counter()
        phase("it is over, and they are delivered", "ok")
        while stats()["queued"] and perf_counter() - started < PATIENCE:
            sleep(0.1)
        seconds = perf_counter() - started
        phase("after it", "ok")
        while (told := stats())["queued"] and perf_counter() - started < PATIENCE:
            sleep(0.1)
        seen = client.get(f"{ingest}/seen").json()
        return Outage(latencies, residents, told["made"], seen["distinct"], seen["most"], seconds)


def tables(seen: Outage) -> str:
    """Return what was seen, as tables."""
    usual = median(seen.latencies["before it"])
    before = seen.residents["before it"]
    rows = "".join(
        f"| {name} | {median(each) * 1e3:.2f} | {median(each) / usual:.2f} | {quantiles(each, n=100)[98] * 1e3:.1f} "
        f"| {seen.residents[name] - before:+.1f} |\n"
        for name, each in seen.latencies.items()
    )
    return f"""\
An hour in which nothing can be delivered, at {RATE} calls a second, in fast motion: {HOUR:,} reports. A request of a
Starlette app with one provider call, {REQUESTS} at {RATE} a second (ms, and as a multiple of the median before the
outage), and what the app's memory has grown by (MB). `headers="off"`: with them, a request waits for its result while
there is one to wait for, and for nothing in an outage.

| meanwhile | median | of that before | 99th percentile | memory |
|---|---|---|---|---|
{rows}
| | |
|---|---|
| provider calls | {seen.made:,} |
| reports that the service has accepted | {seen.delivered:,} |
| times that it got the same report, at most | {seen.most} |
| seconds from its return until all were delivered | {seen.seconds:.0f} |
"""


if __name__ == "__main__":
    sys.stdout.write(tables(outage()))
