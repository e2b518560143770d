"""`payi-middleware journal` beside real processes: living, ended and killed ones."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from payi_middleware.demo.provider import Provider
from tests.delivery.ingest_server import Ingest
from tests.journal_cli.leaving import app, command, service
from tests.transport.calling import PROMPT
from tests.waiting import until


def status(journal: Path) -> dict[str, Any]:
    done = command("status", "--json", journal=journal)
    assert (done.returncode, done.stderr) == (0, "")
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def processes(journal: Path) -> list[dict[str, Any]]:
    return [each for destination in status(journal)["destinations"] for each in destination["processes"]]


def booked(ingest: Ingest) -> set[str | None]:
    return {request.provider_response_id for request in ingest.ledger.requests(limit=1000)}


def test_the_status_tells_living_from_ended_processes_and_takes_nobodys_lock(
    provider: Provider, ingest: Ingest, journal: Path
) -> None:
    ingest.mode = 400
    settings = service(ingest.url, journal)
    with app(provider, 3, **settings) as living:
        for _ in range(2):
            (process,) = processes(journal)
            assert (process["alive"], process["dead_letters"], process["pending"]) == (True, 3, 0)
        assert living.stats["refused"] == 3
        living.end()
    (process,) = processes(journal)
    assert (process["alive"], process["dead_letters"], process["spool_records"]) == (False, 3, 0)
    assert process["bytes"] > 0


def test_what_a_killed_process_had_in_memory_is_shown_and_delivered(
    provider: Provider, ingest: Ingest, journal: Path
) -> None:
    ingest.mode = 503
    settings = service(ingest.url, journal)
    with app(provider, 3, patience=0, **settings) as killed:
        killed.kill()
    totals = status(journal)["totals"]
    assert (totals["alive"], totals["spool_records"], totals["dead_letters"]) == (0, 3, 0)
    assert totals["oldest_age"] >= 0
    exported = command("export", "--pending", journal=journal)
    assert (exported.returncode, exported.stdout) == (0, "")
    assert "3 more in spools of ended processes: the next process of the app reads them." in exported.stderr
    ingest.mode = "ok"
    done = command("retry", "--all", **settings)
    assert (done.returncode, done.stdout) == (0, "Delivered: 3.\n"), done.stderr
    assert booked(ingest) == {request.response_id for request in provider.requests}
    assert status(journal)["totals"]["processes"] == 0


def test_a_living_process_delivers_its_dead_letters_once_they_are_put_back(
    provider: Provider, ingest: Ingest, journal: Path
) -> None:
    ingest.mode = 400
    with app(provider, 3, **service(ingest.url, journal)) as living:
        ingest.mode = "ok"
        done = command("retry", "--all", journal=journal)
        assert (done.returncode, done.stderr) == (0, "")
        assert done.stdout == "Put back: 3. The processes that have them deliver them within a minute.\n"
        until(lambda: len(booked(ingest)) == 3)
        living.end()
    assert booked(ingest) == {request.response_id for request in provider.requests}
    until(lambda: not processes(journal))


def test_ended_processes_dead_letters_are_delivered_by_the_command(
    provider: Provider, ingest: Ingest, journal: Path
) -> None:
    ingest.mode = 400
    settings = service(ingest.url, journal)
    with app(provider, 2, **settings) as first, app(provider, 1, **settings) as second:
        first.end()
        second.end()
    listed = command("list", journal=journal)
    assert (listed.returncode, listed.stderr) == (0, "")
    assert [line.split()[2:5] for line in listed.stdout.splitlines()[::2]] == [
        ["400", "told_to", "system.openai/gpt-4o-mini"]
    ] * 3
    assert PROMPT not in listed.stdout
    ingest.mode = "ok"
    done = command("retry", "--code", "told_to", **settings)
    assert (done.returncode, done.stdout) == (0, "Delivered: 3.\n"), done.stderr
    assert booked(ingest) == {request.response_id for request in provider.requests}
    assert processes(journal) == []
