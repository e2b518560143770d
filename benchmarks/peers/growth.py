"""How the ledger keeps up as it grows: a booking, and a page of the dashboard, with ever more rows in it.

LEDGER_ROWS=10000,100000,1000000,10000000 python -m benchmarks.peers.growth > docs/ledger-benchmarks.md
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Mapping
from statistics import median
from tempfile import TemporaryDirectory
from time import perf_counter

import httpx
from tests.service_command.processes import new_key, serving

from benchmarks.filling import DAYS, fill, fold
from benchmarks.machine import about
from payi_middleware.service.ledger import Ledger

__all__ = ["ROWS", "Grown", "ledgers", "page"]

ROWS = tuple(int(told) for told in os.environ.get("LEDGER_ROWS", "10000,100000,1000000").split(","))
"""Rows of the ledgers; the environment can ask for 10000000, which takes half an hour and 8 GB."""
_BOOKINGS, _PAGES = 200, 7

Grown = Mapping[str, float]


def ledgers() -> Iterator[tuple[int, Grown]]:
    """Yield each number of rows, and the median seconds of a booking and of the dashboard's pages."""
    for rows in ROWS:
        yield rows, _measured(rows)


def _measured(rows: int) -> Grown:
    with TemporaryDirectory() as folder:
        database = f"sqlite:///{folder}/payi.db"
        with Ledger(database) as ledger:
            fill(ledger, rows)
            fold(ledger)
            bookings = [_booked(ledger, number) for number in range(_BOOKINGS)]
            fold(ledger)
        key = new_key(database, "benchmark")
        with serving(database) as served, httpx.Client(base_url=served.url, trust_env=False, timeout=120) as client:
            client.post("/sign-in", data={"key": key})
            pages = [_shown(client) for _ in range(_PAGES)]
    return {"booking": median(bookings), "page": median(pages)}


def _booked(ledger: Ledger, number: int) -> float:
    item = {
        "category": "system.openai",
        "resource": "gpt-4o-mini",
        "units": {"text": {"input": 19, "output": 500}},
        "provider_response_id": f"chatcmpl-new-{number}",
    }
    started = perf_counter()
    ledger.ingest(item)
    return perf_counter() - started


def _shown(client: httpx.Client) -> float:
    started = perf_counter()
    answer = client.get("/")
    seconds = perf_counter() - started
    if answer.status_code != 200:
        raise RuntimeError(f"the dashboard was not shown: {answer.status_code}")
    return seconds


def page(told: Mapping[int, Grown]) -> str:
    """Return a page with the ledgers, by their rows."""
    table = "\n".join(
        f"| {rows:,} | {each['booking'] * 1e3:.2f} | {each['page'] * 1e3:.1f} |" for rows, each in told.items()
    )
    return f"""\
# How the ledger keeps up as it grows

Printed by `LEDGER_ROWS={",".join(map(str, told))} python -m benchmarks.peers.growth` on
{about("sqlalchemy")}.

A ledger in SQLite, with as many requests of {DAYS} days in it, all of them added up. A booking is `Ledger.ingest` of
one report, the median of {_BOOKINGS}. The page is the dashboard's first, asked of `payi-middleware serve` on the same
machine, the median of {_PAGES}.

| rows | a booking, ms | the dashboard's first page, ms |
|---|---|---|
{table}
"""


if __name__ == "__main__":
    sys.stdout.write(page(dict(ledgers())))
