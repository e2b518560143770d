"""The commands, run as a user runs them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO, Any

import httpx

COMMAND = (sys.executable, "-m", "payi_middleware.cli")
PATIENCE = 120


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Run a command to its end."""
    return subprocess.run([*COMMAND, *arguments], capture_output=True, text=True, timeout=PATIENCE, check=False)


def new_key(database: str, name: str, *more: str) -> str:
    """Make a key and return it."""
    done = run("keys", "create", name, "--db", database, *more)
    assert (done.returncode, done.stderr) == (0, "")
    (key,) = done.stdout.splitlines()
    return key


class Served:
    """A service in a process of its own; `log` has its lines up to now."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process
        self.log: list[dict[str, Any]] = []
        self._listening = threading.Event()
        assert process.stderr is not None
        self._reader = threading.Thread(target=self._read, args=(process.stderr,), daemon=True)
        self._reader.start()
        assert self._listening.wait(PATIENCE), "it did not begin to listen"
        self.url = next(line["url"] for line in self.log if line["message"] == "listening")

    def _read(self, lines: IO[str]) -> None:
        for line in lines:
            self.log.append(json.loads(line))
            if self.log[-1]["message"] == "listening":
                self._listening.set()
        self._listening.set()

    def client(self, key: str = "") -> httpx.Client:
        """Return a client; it waits for the service to be ready."""
        return httpx.Client(base_url=self.url, headers={"xProxy-api-key": key}, trust_env=False, timeout=PATIENCE)

    def end(self) -> int:
        """Wait for its end and return its status."""
        status = self.process.wait(PATIENCE)
        self._reader.join(PATIENCE)
        return status


@contextmanager
def serving(database: str, *arguments: str) -> Iterator[Served]:
    """Run `payi-middleware serve` at any port."""
    command = [*COMMAND, "serve", "--port", "0", "--db", database, *arguments]
    environment = {**os.environ, "PYTHONUNBUFFERED": "1"}
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=environment) as process:
        try:
            yield Served(process)
        finally:
            if process.poll() is None:
                process.terminate()
                try:
                    process.wait(PATIENCE)
                finally:
                    process.kill()
