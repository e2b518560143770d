"""Servers in processes of their own, and clients that keep on asking them until they are gone."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import httpx

from tests.lifecycle.company import ROOT

PATIENCE = 60.0
"""Seconds that a server may take for what takes it a moment, on a machine that has a lot to do."""
APP, WSGI = "tests.lifecycle.served:app", "tests.lifecycle.served:wsgi"
COMMANDS: dict[str, Sequence[str]] = {
    "uvicorn": ("uvicorn", "--fd", "FD", "--log-level", "error", APP),
    "uvicorn without lifespan": ("uvicorn", "--fd", "FD", "--log-level", "error", "--lifespan", "off", APP),
    "uvicorn workers": ("uvicorn", "--fd", "FD", "--log-level", "error", "--workers", "2", APP),
    "gunicorn": ("gunicorn", "--bind", "fd://FD", "--log-level", "error", "--threads", "4", WSGI),
    "gunicorn workers": ("gunicorn", "--bind", "fd://FD", "--log-level", "error", "--workers", "2", WSGI),
    "waitress": ("tests.lifecycle.served",),
}


@dataclass
class Server:
    """A server that runs: its address, and its process."""

    url: str
    process: subprocess.Popen[str]

    def ask(self) -> dict[str, Any]:
        """Make a request; returns the provider's id of the answer and the worker's process id."""
        answer = httpx.get(self.url, timeout=PATIENCE, trust_env=False)
        assert answer.status_code == 200, answer.text
        return dict(answer.json())

    def end(self, by: int = signal.SIGTERM) -> None:
        """Tell it to end, and wait until it has."""
        self.process.send_signal(by)
        _, errors = self.process.communicate(timeout=PATIENCE)
        assert "Traceback" not in errors, errors


@contextmanager
def serving(command: Sequence[str], settings: Mapping[str, Any], **environment: str) -> Iterator[Server]:
    """Run a server on a socket that listens already, so that nobody has to wait until it is up.

    Args:
        settings: as `Settings` takes them; they go through the environment.
        environment: more of that.
    """
    named = {f"PAYI_{name.upper()}": str(value) for name, value in settings.items()}
    with socket.create_server(("127.0.0.1", 0), backlog=64) as listener:
        handle, port = listener.fileno(), listener.getsockname()[1]
        process = subprocess.Popen(
            [sys.executable, "-m", *(part.replace("FD", str(handle)) for part in command)],
            env={**os.environ, **named, **environment, "LISTENING_FD": str(handle)},
            cwd=ROOT,
            pass_fds=[handle],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
    with process:
        try:
            yield Server(f"http://127.0.0.1:{port}", process)
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)  # its workers, too


@contextmanager
def load(server: Server, clients: int = 4, enough: int = 12) -> Iterator[list[str]]:
    """Have clients ask on and on; the block begins when there are enough answers, and ends when no server is left.

    Yields:
        The provider's ids of the answers that clients have got in full.
    """
    received: list[str] = []
    there_are_enough = threading.Event()

    def ask() -> None:
        while True:
            try:
                received.append(server.ask()["id"])
            except httpx.TransportError:
                return
            if len(received) >= enough:
                there_are_enough.set()

    threads = [threading.Thread(target=ask, daemon=True) for _ in range(clients)]
    for thread in threads:
        thread.start()
    assert there_are_enough.wait(PATIENCE), server.process.poll()
    yield received
    for thread in threads:
        thread.join(PATIENCE)
