"""Killed at any moment, a process has lost no call whose answer the app had, and none is counted twice."""

from __future__ import annotations

import logging
import os
import random
import shutil
from pathlib import Path
from typing import Any

import pytest

from payi_middleware.demo.provider import Provider
from payi_middleware.journal.inspection import processes
from tests.delivery.ingest_server import PAYI_KEY, Ingest, ingest_server
from tests.lifecycle.company import KILLED, Stage, asked_of, assert_booked_once, let_arrive, sent_ids
from tests.transport.serving import unused_port

MOMENTS, AT_ONCE = int(os.environ.get("KILLS", "60")) // 4, 5
"""Of each kind: with results waited for or not, and with the service or the ledger in a file."""
SPILLED = 200


@pytest.fixture
def rng() -> random.Random:
    seed = random.SystemRandom().randrange(1 << 32)
    logging.getLogger(__name__).warning("seed %d", seed)  # pytest shows it when the test fails
    return random.Random(seed)


@pytest.mark.parametrize("headers", ["summary", "off"])
@pytest.mark.parametrize("kind", ["service", "ledger"])
def test_a_process_killed_at_any_moment_under_load_has_lost_and_doubled_nothing(
    theatre: Stage,
    provider: Provider,
    ingest: Ingest,
    remote_ledger: Path,
    journal: Path,
    rng: random.Random,
    kind: str,
    headers: str,
) -> None:
    there = {"base_url": ingest.url, "api_key": PAYI_KEY} if kind == "service" else {"ledger": str(remote_ledger)}
    settings = {**there, "journal": str(journal), "headers": headers}
    received: dict[str, list[str]] = {}
    while len(received) < MOMENTS:
        users = [f"user-{len(received) + number}" for number in range(AT_ONCE)]
        outcomes = theatre.put_on(
            [
                {
                    "play": "loads:load",
                    "with": {"user": user, "settings": settings},
                    "kill": (rng.randrange(15), rng.uniform(0, 0.02)),
                }
                for user in users
            ]
        )
        assert [(outcome.status, outcome.errors) for outcome in outcomes] == [(KILLED, "")] * AT_ONCE
        received.update(zip(users, (outcome.told for outcome in outcomes), strict=True))
        if rng.random() < 0.3:
            theatre.adopt(settings)
            assert_booked_once(remote_ledger, received, asked_of(provider))
    theatre.adopt(settings)
    assert_booked_once(remote_ledger, received, asked_of(provider))
    assert sum(map(len, received.values())) > MOMENTS
    assert list(journal.glob("*/*.spool")) == []


def spilled(theatre: Stage, settings: dict[str, Any]) -> dict[str, list[str]]:
    """Have two apps killed that could deliver nothing, each with a backlog, and return what they had received."""
    users = ["alice", "bob"]
    outcomes = theatre.put_on(
        [
            {
                "play": "loads:spill",
                "with": {"user": user, "settings": settings, "least": SPILLED},
                "kill": (SPILLED + 60, 0.0),
            }
            for user in users
        ]
    )
    assert [outcome.status for outcome in outcomes] == [KILLED, KILLED]
    in_files = [process.counts().pending for process in processes(Path(settings["journal"]))]
    assert sum(in_files) > SPILLED, in_files
    return dict(zip(users, (outcome.told for outcome in outcomes), strict=True))


def test_processes_killed_one_after_another_while_they_adopt_and_deliver_a_backlog_lose_and_double_nothing(
    theatre: Stage, provider: Provider, journal: Path, tmp_path: Path, rng: random.Random
) -> None:
    with unused_port() as port:
        settings = {"base_url": f"http://127.0.0.1:{port}", "api_key": PAYI_KEY, "journal": str(journal)}
        received = spilled(theatre, settings)
        for number in range(4):
            again, ledger = tmp_path / f"journal-{number}", tmp_path / f"{number}.db"
            shutil.copytree(journal, again)
            settings["journal"] = str(again)
            for _ in range(2):
                theatre.follow("loads:die", settings, step=rng.randrange(1, 90))
            theatre.follow("loads:die", settings, step=0, kill=(0, rng.uniform(0.02, 0.2)))
            with ingest_server(ledger, port=port):
                theatre.follow("loads:die", settings, step=rng.randrange(60, 180))
                theatre.follow("loads:die", settings, step=0, kill=(0, rng.uniform(0.05, 0.2)))
                theatre.adopt(settings)
            assert_booked_once(ledger, received, asked_of(provider))


def test_of_several_processes_only_one_takes_over_what_another_has_left(
    theatre: Stage, provider: Provider, ingest: Ingest, remote_ledger: Path, journal: Path
) -> None:
    ingest.mode = 503
    settings = {"base_url": ingest.url, "api_key": PAYI_KEY, "journal": str(journal)}
    plays = [
        {"play": "loads:load", "with": {"user": f"user-{number}", "settings": settings}, "kill": (20, 0.0)}
        for number in range(4)
    ]
    outcomes = theatre.put_on(plays)
    received = {f"user-{number}": outcome.told for number, outcome in enumerate(outcomes)}
    let_arrive(ingest)
    ingest.mode = "ok"
    ingest.received.clear()
    theatre.adopt(settings, processes=4)
    assert_booked_once(remote_ledger, received, asked_of(provider))
    sent = sent_ids(ingest)
    assert len(sent) == len(set(sent))
