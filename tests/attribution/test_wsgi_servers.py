"""The same under gunicorn and gevent, in processes of their own: what was not reported yet arrives when they end."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest

from payi_middleware.demo.provider import Provider
from tests.attribution.wsgi_app import THREADS_EACH
from tests.attribution.wsgi_world import (
    PATIENCE,
    USERS,
    ask_as_everybody,
    assert_everybody_is_charged_for_their_own,
    booked,
    named_in,
)

ROOT = Path(__file__).parents[2]
APP = "tests.attribution.wsgi_served"
THREADED = ("--worker-class", "gthread", "--threads", str(len(USERS) + 4), "--workers", "1", "--graceful-timeout", "40")

pytestmark = pytest.mark.skipif(os.name != "posix", reason="hands a listening socket to another process")


@contextmanager
def process(command: Sequence[str], environment: dict[str, str]) -> Iterator[tuple[str, subprocess.Popen[bytes]]]:
    """Run a server on a socket that listens already, so that nobody has to wait until it is up."""
    with socket.create_server(("127.0.0.1", 0), backlog=len(USERS) * 2) as listener:
        handle, port = listener.fileno(), listener.getsockname()[1]
        running = subprocess.Popen(
            [sys.executable, "-m", *(part.replace("FD", str(handle)) for part in command)],
            env={**os.environ, **environment, "LISTENING_FD": str(handle)},
            cwd=ROOT,
            pass_fds=[handle],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
        )
    with running:
        try:
            yield f"http://127.0.0.1:{port}", running
        finally:
            running.kill()


def environment(provider: Provider, ledger_path: Path, **more: str) -> dict[str, str]:
    return {"STAND_IN_URL": provider.url, "PAYI_LEDGER": str(ledger_path), **more}


def test_reports_that_wait_when_gunicorn_is_told_to_end_arrive(provider: Provider, ledger_path: Path) -> None:
    command = ["gunicorn", "--bind", "fd://FD", *THREADED, f"{APP}:app"]
    with process(command, environment(provider, ledger_path, SLOW_REPORTS="0.02")) as (url, gunicorn):
        ask_as_everybody(f"{url}/sync/openai")
        gunicorn.terminate()
        _, errors = gunicorn.communicate(timeout=PATIENCE)
    assert gunicorn.returncode == 0, errors.decode()
    assert b"Traceback" not in errors, errors.decode()
    assert_everybody_is_charged_for_their_own(provider, ledger_path, len(USERS))


def test_with_preload_a_call_made_before_the_fork_is_reported_once_and_the_workers_are_their_users(
    provider: Provider, ledger_path: Path
) -> None:
    command = ["gunicorn", "--bind", "fd://FD", *THREADED, "--preload", f"{APP}:app"]
    loading = environment(provider, ledger_path, ASK_WHILE_LOADING="1", SLOW_REPORTS="0.02")
    with process(command, loading) as (url, gunicorn):
        ask_as_everybody(f"{url}/stream")
        gunicorn.terminate()
        _, errors = gunicorn.communicate(timeout=PATIENCE)
    assert gunicorn.returncode == 0, errors.decode()
    assert b"Traceback" not in errors, errors.decode()
    records = booked(ledger_path)
    before = provider.requests.pop(0)
    assert records.pop(str(before.response_id)).user_id is None
    assert {str(asked.response_id): named_in(asked.body) for asked in provider.requests} == {
        response_id: record.user_id for response_id, record in records.items()
    }
    assert {record.user_id for record in records.values()} == set(USERS)


def test_greenlets_of_gevent_are_charged_to_their_user(provider: Provider, ledger_path: Path) -> None:
    with process([APP], environment(provider, ledger_path)) as (url, gevent):
        for path in ("/sync/openai", "/stream", "/pool", "/threads"):
            ask_as_everybody(url + path)
        gevent.terminate()
        _, errors = gevent.communicate(timeout=PATIENCE)
    assert gevent.returncode == 0, errors.decode()
    calls = (1 + 1 + THREADS_EACH + THREADS_EACH) * len(USERS)
    assert_everybody_is_charged_for_their_own(provider, ledger_path, calls)
