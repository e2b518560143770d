"""Measure what keeping and delivering reports costs: `python -m benchmarks.delivery > docs/delivery-benchmarks.md`."""

from __future__ import annotations

import os
import sqlite3
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from statistics import quantiles
from tempfile import TemporaryDirectory
from time import perf_counter, sleep

from benchmarks import lag, outage
from benchmarks.machine import about
from benchmarks.measuring import medians, timed
from benchmarks.outage import process_of
from payi_middleware import Settings
from payi_middleware.destinations import destination_id
from payi_middleware.journal import Home, Row, Spool
from payi_middleware.meter import Meter

WRITES, ROUNDS = 500, 21
RECORD = os.urandom(1800)
REPORTS = 20_000
CALM, PATIENCE = 1.5, 120.0


def spool_writer(directory: Path) -> tuple[Callable[[], None], Callable[[], None]]:
    """Return how to write a record the way the app's thread does, and how to end."""
    spool = Spool(directory / "benchmark.spool")

    def write() -> None:
        spool.clear(spool.put(RECORD))

    return write, spool.close


def sqlite_writer(directory: Path, synchronous: str) -> tuple[Callable[[], None], Callable[[], None]]:
    """Return how to write a record to a database of its own, in the way that costs least."""
    connection = sqlite3.connect(directory / f"{synchronous}.db", isolation_level=None)
    connection.execute("PRAGMA journal_mode=WAL")
    connection.execute(f"PRAGMA synchronous={synchronous}")
    connection.execute("CREATE TABLE records (id INTEGER PRIMARY KEY, record BLOB)")

    def write() -> None:
        connection.execute("INSERT INTO records (record) VALUES (?)", (RECORD,))

    return write, connection.close


def file_writer(directory: Path) -> tuple[Callable[[], None], Callable[[], None]]:
    """Return how to append a record to a file."""
    descriptor = os.open(directory / "records", os.O_CREAT | os.O_APPEND | os.O_WRONLY)
    return partial(os.write, descriptor, RECORD), partial(os.close, descriptor)  # type: ignore[return-value]


@contextmanager
def busy_thread() -> Iterator[None]:
    """Have another thread of the process work meanwhile, as a web server's other requests do."""
    ended = threading.Event()

    def work() -> None:
        while not ended.is_set():
            sum(range(1000))

    thread = threading.Thread(target=work)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


def worst(write: Callable[[], None]) -> float:
    """Return the 99th percentile of the seconds that one write takes beside a busy thread."""
    seconds: list[float] = []
    with busy_thread():
        for _ in range(WRITES):
            started = perf_counter()
            write()
            seconds.append(perf_counter() - started)
    return quantiles(seconds, n=100)[98]


def writing() -> Iterator[tuple[str, float, float]]:
    """Yield each way to write a record, its median CPU seconds, and its worst ones beside a busy thread."""
    with TemporaryDirectory() as name:
        directory = Path(name)
        writers = {
            "slot in a mapped file (what we do)": spool_writer(directory),
            "append to a file": file_writer(directory),
            "SQLite, WAL, synchronous=OFF": sqlite_writer(directory, "OFF"),
            "SQLite, WAL, synchronous=NORMAL": sqlite_writer(directory, "NORMAL"),
        }

        def repeated(write: Callable[[], None]) -> float:
            def run() -> None:
                for _ in range(WRITES):
                    write()

            return timed(run, WRITES)

        usual = medians({name: partial(repeated, write) for name, (write, _) in writers.items()}, ROUNDS)
        for name, (write, end) in writers.items():
            yield name, usual[name], worst(write)
            end()


def draining(url: str) -> float:
    """Return how many reports a second a process delivers that finds what another one has left."""
    item = (
        b'{"category":"system.openai","resource":"gpt-4o-mini","units":{"text":{"input":19,"output":500}},'
        b'"event_timestamp":"2026-01-01T00:00:00Z","http_status_code":200,"provider_response_id":"chatcmpl-%d"}'
    )
    with TemporaryDirectory() as journal:
        settings = Settings(base_url=url, journal=journal)
        home = Home(Path(journal) / destination_id(settings), url, settings.journal_max_bytes)
        home.backlog.append(Row(item % number) for number in range(REPORTS))
        home.close()
        meter = Meter(settings)
        started = perf_counter()
        meter.open()
        while meter.stats()["delivered"] < REPORTS:
            if perf_counter() - started > PATIENCE or meter.stats()["refused"]:
                raise RuntimeError(f"not delivered: {meter.stats()}")
            sleep(0.01)
        seconds = perf_counter() - started
        meter.close()
    return REPORTS / seconds


def page() -> str:
    """Return the page with the tables."""
    others = disturbed()
    written = "".join(f"| {name} | {usual * 1e6:.1f} | {bad * 1e6:.0f} |\n" for name, usual, bad in writing())
    with process_of("benchmarks.counting_ingest") as url:
        counted = draining(url)
    with TemporaryDirectory() as directory, process_of("benchmarks.ledger_ingest", directory) as url:
        booked = draining(url)
    return f"""\
# What keeping and delivering reports costs

Printed by `python -m benchmarks.delivery` on {about("httpx2")}.{others}

## A record

A record of {len(RECORD)} bytes, written on the app's thread (µs): CPU time, and the 99th percentile of what it takes
while another thread of the process works. Whatever lets go of the interpreter to write has to get it back from that
thread, which takes up to 5 ms; that is why a report is not written to SQLite there.

| way | CPU, median | beside a busy thread |
|---|---|---|
{written}
What a whole provider call costs, this included, is in [the other benchmarks](reading-benchmarks.md).

## A backlog

{REPORTS:,} reports, delivered in bulk over HTTP by one process to a service on the same machine:

| service | reports a second |
|---|---|
| one that only counts | {counted:,.0f} |
| ours, which prices and books each | {booked:,.0f} |

## The event loop

{lag.table()}
## An outage

{outage.tables(outage.outage())}"""


def disturbed() -> str:
    """Say so if others use the machine."""
    load = os.getloadavg()[0]
    return f" Others have used the machine, too: its load was {load:.0f} before this began." if load > CALM else ""


if __name__ == "__main__":
    sys.stdout.write(page())
