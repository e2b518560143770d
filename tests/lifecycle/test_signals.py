"""A signal in the midst of work costs no report: it is delivered before the end, or by the next process."""

from __future__ import annotations

import signal
from pathlib import Path
from typing import Any

import pytest

from payi_middleware.demo.provider import Provider
from tests.delivery.ingest_server import Ingest
from tests.lifecycle.company import Stage, asked_of, assert_booked_once
from tests.lifecycle.running import COMMANDS, load, serving


@pytest.mark.parametrize("by", [signal.SIGTERM, signal.SIGINT], ids=["term", "int"])
@pytest.mark.parametrize("server", ["uvicorn", "gunicorn"])
def test_a_server_that_is_told_to_end_delivers_what_it_has_answered(
    provider: Provider, remote_ledger: Path, settings: dict[str, Any], server: str, by: int
) -> None:
    with serving(COMMANDS[server], settings, STAND_IN_URL=provider.openai_url) as running, load(running) as received:
        running.end(by)
    assert_booked_once(remote_ledger, {None: received}, asked_of(provider))


def test_a_server_that_ends_by_the_signal_itself_leaves_its_reports_to_the_next_process(
    theatre: Stage, provider: Provider, remote_ledger: Path, settings: dict[str, Any]
) -> None:
    command = COMMANDS["uvicorn without lifespan"]
    with serving(command, settings, STAND_IN_URL=provider.openai_url) as running, load(running) as received:
        running.end()
    assert running.process.returncode == -signal.SIGTERM
    theatre.adopt(settings)
    assert_booked_once(remote_ledger, {None: received}, asked_of(provider))


@pytest.mark.parametrize("server", ["uvicorn", "gunicorn", "waitress"])
def test_a_server_that_is_told_to_end_does_not_wait_for_a_service_that_hangs(
    theatre: Stage, provider: Provider, ingest: Ingest, remote_ledger: Path, settings: dict[str, Any], server: str
) -> None:
    ingest.mode = "hang"
    patient = {**settings, "ingest_timeout": 600, "shutdown_timeout": 0.5}
    with serving(COMMANDS[server], patient, STAND_IN_URL=provider.openai_url) as running, load(running) as received:
        running.end()
    ingest.mode = "ok"
    theatre.adopt(settings)
    assert_booked_once(remote_ledger, {None: received}, asked_of(provider))


@pytest.mark.parametrize("by", [signal.SIGTERM, signal.SIGINT], ids=["term", "int"])
def test_what_a_script_has_left_that_a_signal_ended_is_delivered_by_the_next_process(
    theatre: Stage, provider: Provider, remote_ledger: Path, settings: dict[str, Any], by: int
) -> None:
    play = {"play": "loads:load", "with": {"user": "alice", "settings": settings}, "kill": (20, 0.0), "by": by}
    (outcome,) = theatre.put_on([play])
    assert outcome.status == -by
    theatre.adopt(settings)
    assert_booked_once(remote_ledger, {"alice": outcome.told}, asked_of(provider))
