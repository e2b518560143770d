"""Under servers that fork, spawn, recycle and reload workers, each worker delivers its own reports, once."""

from __future__ import annotations

import signal
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from time import monotonic, time
from typing import Any

import httpx
import pytest

from payi_middleware.demo.provider import Provider
from tests.delivery.ingest_server import Ingest
from tests.lifecycle.company import asked_of, sent_ids
from tests.lifecycle.running import COMMANDS, PATIENCE, Server, serving


def ask_until(server: Server, processes: int, between: Callable[[], object] = lambda: None) -> list[str]:
    """Ask until so many processes have answered; returns the ids of the answers."""
    ids: list[str] = []
    seen: set[int] = set()
    deadline = monotonic() + PATIENCE
    while len(seen) < processes:
        assert monotonic() < deadline, seen
        between()
        try:
            answer = server.ask()
        except httpx.TransportError:  # taken by a worker that was about to be replaced
            continue
        ids.append(answer["id"])
        seen.add(answer["pid"])
    return ids


def assert_each_sent_once(ingest: Ingest, provider: Provider, received: list[str]) -> None:
    assert set(received) <= set(asked_of(provider))
    assert Counter(sent_ids(ingest)) == Counter(asked_of(provider))


@pytest.mark.parametrize(
    ("server", "more", "processes"),
    [
        ("gunicorn workers", [], 2),
        ("gunicorn workers", ["--preload", "--max-requests", "3"], 4),
        ("uvicorn workers", ["--limit-max-requests", "3"], 3),
        ("waitress", [], 1),
    ],
)
def test_every_worker_delivers_its_own(
    provider: Provider, ingest: Ingest, settings: dict[str, Any], server: str, more: list[str], processes: int
) -> None:
    loading = {"ASK_WHILE_LOADING": "1"} if "--preload" in more else {}
    with serving([*COMMANDS[server], *more], settings, STAND_IN_URL=provider.openai_url, **loading) as running:
        received = ask_until(running, processes)
        running.end(signal.SIGINT if server == "waitress" else signal.SIGTERM)
    assert len(asked_of(provider)) >= len(received) + len(loading)
    assert_each_sent_once(ingest, provider, received)


def test_a_reloaded_app_has_delivered_what_it_did_before(
    provider: Provider, ingest: Ingest, settings: dict[str, Any], tmp_path: Path
) -> None:
    module = tmp_path / "reloaded.py"
    module.write_text("from tests.lifecycle.served import app\n")

    def change() -> None:
        # Again and again: uvicorn does not notice a change that comes before its own first look at the file.
        if time() - module.stat().st_mtime > 3:
            module.touch()

    command = [*COMMANDS["uvicorn"][:-1], "--reload", "--reload-dir", str(tmp_path), "--app-dir", str(tmp_path)]
    with serving([*command, "reloaded:app"], settings, STAND_IN_URL=provider.openai_url) as running:
        received = ask_until(running, 1)
        received += ask_until(running, 2, change)
        running.end()
    assert_each_sent_once(ingest, provider, received)
