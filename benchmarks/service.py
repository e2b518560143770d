"""Measure what our service books: `python -m benchmarks.service > docs/service-benchmarks.md`."""

from __future__ import annotations

import asyncio
import json
import os
import random
import sys
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from statistics import median, quantiles
from tempfile import TemporaryDirectory
from time import perf_counter
from typing import Any
from urllib.parse import urlsplit
from uuid import uuid4

from tests.service.databases import postgresql_url
from tests.service_command.processes import Served, new_key, serving

from benchmarks.machine import about, pace
from payi_middleware.service.ledger import Ledger

RECORDS, AT_ONCE = int(os.environ.get("RECORDS", "100000")), 500
MANY, PARTS = int(os.environ.get("MANY_RECORDS", "1000000")), 5
SINGLE_SECONDS, CONNECTIONS = 15.0, 16
HALF_LOAD = 350.0
"""Single ingests a second at which latency is measured: half of what a service has to take."""
LIMITS = 3
PACED_SECONDS = 2.0


class Connection:
    """A keep-alive connection that costs little, so that the service is what is measured."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, key: str) -> None:
        self._reader = reader
        self._writer = writer
        self._key = key

    async def post(self, path: str, body: bytes, headers: str = "") -> bytes:
        """Send a request and return the answer's body."""
        head = (
            f"POST {path} HTTP/1.1\r\nHost: a\r\nxProxy-api-key: {self._key}\r\n{headers}"
            f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
        )
        self._writer.write(head.encode() + body)
        told = await self._reader.readuntil(b"\r\n\r\n")
        if not told.startswith(b"HTTP/1.1 200"):
            raise RuntimeError(told.decode())
        length = told.lower().partition(b"content-length:")[2].partition(b"\r\n")[0]
        return await self._reader.readexactly(int(length))

    def close(self) -> None:
        """Close it."""
        self._writer.close()


@asynccontextmanager
async def connections(served: Served, key: str, count: int) -> AsyncIterator[list[Connection]]:
    """Open connections."""
    parts = urlsplit(served.url)
    opened = [
        Connection(*await asyncio.open_connection(parts.hostname, parts.port, limit=1 << 24), key) for _ in range(count)
    ]
    try:
        yield opened
    finally:
        for connection in opened:
            connection.close()


def item(dice: random.Random) -> dict[str, Any]:
    """Return an event as our client reports it."""
    return {
        "category": "system.openai",
        "resource": dice.choice(["gpt-4o-mini", "gpt-4o", "gpt-5"]),
        "units": {
            "text": {"input": dice.randrange(2000), "output": dice.randrange(900)},
            "text_cache_read": {"input": dice.randrange(100)},
        },
        "event_timestamp": _iso(datetime.now(UTC) - timedelta(seconds=dice.randrange(600))),
        "end_to_end_latency_ms": dice.randrange(5000),
        "http_status_code": 200,
        "provider_response_id": f"chatcmpl-{uuid4().hex}",
        "provider_uri": "https://api.openai.com/v1/chat/completions",
        "properties": {"session_id": f"s{dice.randrange(5000)}"},
    }


def _iso(moment: datetime) -> str:
    return moment.isoformat(timespec="microseconds").replace("+00:00", "Z")


def context(dice: random.Random) -> dict[str, Any]:
    """Return whom an event is for."""
    return {
        "user_id": f"user{dice.randrange(1000)}",
        "account_name": f"account{dice.randrange(20)}",
        "use_case_name": f"case{dice.randrange(5)}",
        "use_case_id": f"i{dice.randrange(2000)}",
        "use_case_step": f"step{dice.randrange(3)}",
        "limit_ids": [f"limit{dice.randrange(LIMITS)}"],
        "request_tags": ["benchmark"],
    }


def bulks(dice: random.Random, count: int) -> Iterator[bytes]:
    """Yield the bodies of bulk requests."""
    for _ in range(count):
        yield json.dumps([item(dice) | context(dice) for _ in range(AT_ONCE)]).encode()


async def bulk_rate(served: Served, key: str, records: int, seed: int = 1) -> float:
    """Return the records a second that two connections have booked in bulk."""
    bodies = bulks(random.Random(seed), records // AT_ONCE)
    busy = 0.0
    async with connections(served, key, 2) as opened:
        while portion := [body for _, body in zip(range(20), bodies, strict=False)]:
            started = perf_counter()
            await asyncio.gather(*(_send(opened[side], portion[side::2]) for side in range(2)))
            busy += perf_counter() - started
    return records / busy


async def _send(connection: Connection, bodies: Sequence[bytes]) -> None:
    for body in bodies:
        told = json.loads(await connection.post("/api/v1/ingest/bulk", body))
        if told["ingest_count"] != AT_ONCE:
            raise RuntimeError(told)


def single(dice: random.Random) -> tuple[bytes, str]:
    """Return an event for a request of its own: its context is in headers."""
    told = context(dice)
    names = {"user_id": "User-ID", "account_name": "Account-Name", "use_case_name": "UseCase-Name"}
    names |= {"use_case_id": "UseCase-ID", "use_case_step": "UseCase-Step"}
    headers = "".join(f"xProxy-{header}: {told[name]}\r\n" for name, header in names.items())
    return json.dumps(item(dice)).encode(), f"{headers}xProxy-Limit-IDs: {told['limit_ids'][0]}\r\n"


async def single_rate(served: Served, key: str) -> float:
    """Return the requests a second that are answered at most."""
    ended = perf_counter() + SINGLE_SECONDS
    done = 0

    async def ask(connection: Connection, dice: random.Random) -> None:
        nonlocal done
        while perf_counter() < ended:
            await connection.post("/api/v1/ingest", *single(dice))
            done += 1

    async with connections(served, key, CONNECTIONS) as opened:
        started = perf_counter()
        await asyncio.gather(*(ask(each, random.Random(number)) for number, each in enumerate(opened)))
        return done / (perf_counter() - started)


async def latencies(served: Served, key: str) -> tuple[float, float]:
    """Return the median and the 99th percentile of the seconds to an answer, from when it is due, at half load."""
    seconds: list[float] = []
    free: asyncio.Queue[Connection] = asyncio.Queue()
    dice = random.Random(3)

    async def ask(due: float, body: bytes, headers: str) -> None:
        connection = await free.get()
        await connection.post("/api/v1/ingest", body, headers)
        seconds.append(perf_counter() - due)
        free.put_nowait(connection)

    async with connections(served, key, 64) as opened:
        for connection in opened:
            free.put_nowait(connection)
        started = perf_counter()
        tasks: list[asyncio.Task[None]] = []
        for number in range(int(HALF_LOAD * SINGLE_SECONDS)):
            due = started + number / HALF_LOAD
            await asyncio.sleep(max(0.0, due - perf_counter()))
            tasks.append(asyncio.create_task(ask(due, *single(dice))))
        await asyncio.gather(*tasks)
    return median(seconds), quantiles(seconds, n=100)[98]


def resident(served: Served) -> float:
    """Return the megabytes that the service has in memory."""
    status = Path(f"/proc/{served.process.pid}/status").read_text(encoding="ascii")
    return int(next(line for line in status.splitlines() if line.startswith("VmRSS:")).split()[1]) / 1024


@contextmanager
def stores() -> Iterator[dict[str, str]]:
    """Make a new database of each kind."""
    with TemporaryDirectory() as directory, postgresql_url() as url:
        yield {"SQLite": f"sqlite:///{directory}/payi.db", "PostgreSQL": url}


def prepared(database: str) -> str:
    """Make limits, and return a key."""
    with Ledger(database, "benchmark") as ledger:
        for number in range(LIMITS):
            ledger.create_limit(limit_id=f"limit{number}", limit_name=f"Limit {number}", max=1e9)
    return new_key(database, "benchmark")


def grown(database: str) -> list[tuple[float, float]]:
    """Return the records a second that were booked, and the megabytes in memory then, of each part of very many."""
    key = prepared(database)
    with serving(database) as served:
        return [(asyncio.run(bulk_rate(served, key, MANY // PARTS, part)), resident(served)) for part in range(PARTS)]


def measured(database: str) -> list[float]:
    """Return a row of figures."""
    key = prepared(database)
    with serving(database) as served:
        paces, before = [pace(PACED_SECONDS)], resident(served)
        bulk = asyncio.run(bulk_rate(served, key, RECORDS))
        more = resident(served) - before
        paces.append(pace(PACED_SECONDS))
        most = asyncio.run(single_rate(served, key))
        paces.append(pace(PACED_SECONDS))
        usual, slow = asyncio.run(latencies(served, key))
        return [bulk, most, usual * 1e3, slow * 1e3, more, median([*paces, pace(PACED_SECONDS)]) * 1e3]


def page() -> str:
    """Return the page with the table."""
    with stores() as databases:
        rows = {name: measured(database) for name, database in databases.items()}
    with stores() as databases:
        parts = zip(*(grown(database) for database in databases.values()), strict=True)
        growing = "".join(
            f"| {MANY // PARTS * number:,} | " + " | ".join(f"{rate:,.0f} | {size:.0f}" for rate, size in part) + " |\n"
            for number, part in enumerate(parts, 1)
        )
    table = "".join(
        f"| {name} | {bulk:,.0f} | {most:,.0f} | {usual:.1f} | {slow:.1f} | {more:+.0f} | {paced:.0f} |\n"
        for name, (bulk, most, usual, slow, more, paced) in rows.items()
    )
    return f"""\
# What our service books

Printed by `python -m benchmarks.service` on {about("sqlalchemy", "psycopg", "uvicorn")}.

One process of `payi-middleware serve`, and a client on the same machine; every record is of the last ten minutes,
counts against a limit, belongs to a user, an account and a use case instance, is priced, and is added up for the
dashboard.

| store | bulk, records/s | singly, requests/s | half load: median, ms | 99th %, ms | memory, MB | pace, ms |
|---|---|---|---|---|---|---|
{table}
In bulk: {RECORDS:,} records, {AT_ONCE} in a request, two requests at a time; memory is what the service's has grown by
meanwhile. Singly: {CONNECTIONS} connections at a time, each request with its context in headers. Half load is
{HALF_LOAD:.0f} requests a second, each sent when it is due, whether or not earlier ones were answered. Pace is what
300,000 additions take in Python between the parts. The machine is shared: others' work can cost two thirds of it.

## With very many records

Booked in bulk by a new service, and what it has in memory then.

| records | SQLite, records/s | memory, MB | PostgreSQL, records/s | memory, MB |
|---|---|---|---|---|
{growing}"""


if __name__ == "__main__":
    sys.stdout.write(page())
