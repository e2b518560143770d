"""The stage as tests use it, and what must be in the ledger after the last play."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.parse import parse_qs
from urllib.request import urlopen

from payi_middleware.demo.provider import Provider
from payi_middleware.service.accounts.records import RequestRecord
from payi_middleware.service.ledger import Ledger
from tests.delivery.ingest_server import Ingest

ROOT = Path(__file__).parents[2]
KILLED = -9


@dataclass(frozen=True)
class Outcome:
    """What became of a play: the lines it told, how its process ended (as `Popen.returncode`), its complaints."""

    told: list[str]
    status: int
    errors: str


class Stage:
    """Puts plays on; see `tests.lifecycle.stage`."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process

    def put_on(self, plays: Sequence[Mapping[str, Any]]) -> list[Outcome]:
        """Put plays on at the same time, each in a process of its own, and wait until all are over."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        print(json.dumps(plays), file=self._process.stdin, flush=True)
        answer = self._process.stdout.readline()
        assert answer, "the stage has ended"
        return [Outcome(**outcome) for outcome in json.loads(answer)]

    def follow(self, play: str, settings: Mapping[str, Any], *, processes: int = 1, **more: Any) -> list[Outcome]:
        """Put on the processes that come after those that have left a journal."""
        left = [str(path) for path in Path(settings["journal"]).glob("*/*.spool")]
        kill = more.pop("kill", None)
        each = {"play": play, "with": {"settings": settings, "left": left, **more}, "kill": kill}
        return self.put_on([each] * processes)

    def adopt(self, settings: Mapping[str, Any], *, processes: int = 1) -> None:
        """Have what ended processes have left taken over and delivered."""
        outcomes = self.follow("loads:adopt", settings, processes=processes)
        assert [(outcome.status, outcome.errors) for outcome in outcomes] == [(0, "")] * processes

    def play(self, name: str, **arguments: Any) -> Outcome:
        """Put one play on, which has to end well."""
        (outcome,) = self.put_on([{"play": name, "with": arguments}])
        assert (outcome.status, outcome.errors) == (0, ""), outcome.errors
        return outcome


@contextmanager
def stage(provider: str) -> Iterator[Stage]:
    """Have everything loaded, for plays that ask the provider at this address."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("PAYI_")}
    with subprocess.Popen(
        [sys.executable, "-m", "tests.lifecycle.stage", provider],
        cwd=ROOT,
        env=inherited,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            ready = Stage(process)
            ready.put_on([])
            yield ready
        finally:
            assert process.stdin is not None
            process.stdin.close()


def asked_of(provider: Provider) -> list[str]:
    """Return the ids of all answers that the provider has begun to give."""
    return [str(request.response_id) for request in provider.requests]


def booked(ledger: Path) -> list[RequestRecord]:
    """Read back everything in a ledger."""
    with Ledger(ledger) as opened:
        return opened.requests(limit=1_000_000)


def assert_booked_once(ledger: Path, received: Mapping[Any, Iterable[str]], asked: Iterable[str]) -> None:
    """Check that every answer an app had is in the ledger exactly once, and counted once.

    Args:
        received: the ids of the answers that each user's app had in full; the user may be None.
        asked: the ids of all that the provider has answered, in full or not.
    """
    rows = booked(ledger)
    times = Counter(str(row.provider_response_id) for row in rows)
    assert {id_: number for id_, number in times.items() if number > 1} == {}
    named = {id_ for id_ in times if not id_.startswith("payi_")}  # calls that broke off have ids of our own
    assert named - set(asked) == set(), "reports of answers that nobody gave"
    users = {str(row.provider_response_id): row.user_id for row in rows}
    had = {id_: user for user, ids in received.items() for id_ in ids}
    lost = had.keys() - users.keys()
    assert not lost, f"reports are lost: {lost}, of {users.keys() - had.keys()} that nobody had"
    assert {id_: users[id_] for id_ in had} == had
    with Ledger(ledger) as opened:
        totals = {usage.user_id: (usage.calls, usage.cost) for usage in opened.usage_by_user()}
    sums: dict[str | None, tuple[int, Decimal]] = {}
    for row in rows:
        calls, cost = sums.get(row.user_id, (0, Decimal(0)))
        sums[row.user_id] = (calls + 1, cost + row.cost)
    assert totals == sums


def let_arrive(ingest: Ingest) -> None:
    """Have the service take in what ended processes have sent it: what is sent now comes after that.

    Twice, as it may accept a connection of theirs and this one at once, and then read from either first.
    """
    for _ in range(2):
        with suppress(HTTPError), urlopen(f"{ingest.url}/", timeout=60):
            pass


def sent_ids(ingest: Ingest) -> list[str]:
    """Return the ids of the answers whose reports the service was sent, as often as it was."""
    ids: list[str] = []
    for request in ingest.received:
        if request.path.endswith("/bulk"):
            ids += [item["provider_response_id"] for item in request.body]
        elif request.method == "POST":
            ids += parse_qs(request.query)["id"]
    return ids
