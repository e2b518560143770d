"""Measure the dashboard over a million requests: `python -m benchmarks.dashboard > docs/dashboard-benchmarks.md`.

REQUESTS says how many else; SQLITE and POSTGRESQL name databases that are filled already (or where to keep them).
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from statistics import median
from tempfile import TemporaryDirectory
from time import perf_counter, sleep

import httpx
from tests.service.databases import postgresql_url
from tests.service_command.processes import new_key, serving

from benchmarks.filling import DAYS, fill, fold
from benchmarks.machine import about
from payi_middleware.service.ledger import Ledger

REQUESTS = int(os.environ.get("REQUESTS", "1000000"))
TIMES = int(os.environ.get("TIMES", "7"))
_REST = 0.05
"""Seconds between two pages: nobody clicks faster."""
_USER, _CASE, _MODEL = "user=user0000%40example.com", "use_case=support-chat", "category=system.openai&resource=gpt-4o"
PAGES = {
    "overview, 30 days": "/",
    "overview, 90 days": "/?period=90d",
    "overview, 24 hours": "/?period=24h",
    "overview of the user who asks most": f"/?{_USER}",
    "overview of a use case with half of all requests": f"/?{_CASE}",
    "overview of a model": f"/?{_MODEL}",
    "overview of a use case and a model": f"/?{_CASE}&{_MODEL}",
    "overview of what failed": "/?status=failed",
    "spend by user, 30 days": "/spend/users",
    "spend by user, 90 days": "/spend/users?period=90d",
    "spend by user, of a model": f"/spend/users?{_MODEL}",
    "spend by account": "/spend/accounts",
    "spend by use case": "/spend/use-cases",
    "spend by step": "/spend/steps",
    "spend by model": "/spend/models",
    "spend by category": "/spend/categories",
    "requests, the newest": "/requests",
    "requests, the dearest": "/requests?sort=dearest",
    "requests, the slowest": "/requests?sort=slowest",
    "requests that failed": "/requests?status=failed",
    "requests of a user, the dearest": f"/requests?sort=dearest&{_USER}",
    "one request": "/requests/req_000000000000000000000000000010",
    "limits": "/limits",
    "one limit with half of all requests": "/limits/team-budget",
    "use cases": "/use-cases",
    "one use case": "/use-cases/support-chat",
    "one instance": "/use-cases/support-chat/support-chat-7",
    "unknown models": "/unknown",
    "live": "/live",
}
LATER = {
    "the table of users, 90 days": "/table/users?period=90d",
    "a table by a third name, of a use case and a model": f"/panel/users?{_CASE}&{_MODEL}",
    "a table by user, of what failed": "/panel/users?status=failed",
}
"""What a page comes without, and fetches then."""


@contextmanager
def databases() -> Iterator[dict[str, str]]:
    """Return a database of each kind."""
    with TemporaryDirectory() as directory, postgresql_url() as url:
        yield {
            "SQLite": os.environ.get("SQLITE", f"sqlite:///{directory}/payi.db"),
            "PostgreSQL": os.environ.get("POSTGRESQL", url),
        }


def prepare(database: str) -> str:
    """Fill a database, unless that was done, and return a key for it."""
    with Ledger(database) as ledger:
        if not ledger.requests(limit=1):
            fill(ledger, REQUESTS)
            fold(ledger)
        ledger.revoke_key("benchmark")
        if database.startswith("postgresql"):
            ledger.write(lambda connection, _: connection.exec_driver_sql("ANALYZE"))
    return new_key(database, "benchmark", "--application", "default")


def times(database: str) -> dict[str, float]:
    """Return the median of the seconds that each page takes, from asking to having all of it."""
    key = prepare(database)
    told: dict[str, float] = {}
    with serving(database) as served, httpx.Client(base_url=served.url, trust_env=False, timeout=120) as client:
        client.post("/sign-in", data={"key": key})
        for title, path in {**PAGES, **LATER}.items():
            seconds = []
            for _ in range(TIMES + 1):
                sleep(_REST)
                started = perf_counter()
                answer = client.get(path)
                seconds.append(perf_counter() - started)
                if answer.status_code != httpx.codes.OK:
                    raise RuntimeError(f"{path}: {answer.status_code}")
            told[title] = median(seconds[1:])
    return told


def page() -> str:
    """Return the page with the table."""
    with databases() as found:
        columns = {name: times(database) for name, database in found.items()}

    def rows(titles: dict[str, str]) -> str:
        return "".join(
            f"| {title} | {' | '.join(f'{told[title] * 1e3:.0f}' for told in columns.values())} |\n" for title in titles
        )

    return f"""\
# How long the dashboard takes

Printed by `python -m benchmarks.dashboard` on {about("sqlalchemy", "psycopg", "jinja2")}.

{REQUESTS:,} requests in {DAYS} days, of 2,000 users, 40 accounts, 3 use cases with 60,000 instances, and 7 models; some
users and models are asked far more often than others. Milliseconds, from asking for a page to having all of it, median
of {TIMES}; pages are of the last 30 days where nothing else is said.

| page | {" | ".join(columns)} |
|---|{"---|" * len(columns)}
{rows(PAGES)}
What a page comes without, and fetches once it is shown: no sums are kept by three names, and users are many:

| table | {" | ".join(columns)} |
|---|{"---|" * len(columns)}
{rows(LATER)}"""


if __name__ == "__main__":
    sys.stdout.write(page())
