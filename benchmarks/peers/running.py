"""Workers that take turns."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from benchmarks.peers.environments import ROOT
from benchmarks.peers.roster import SCENARIOS, Entry

__all__ = ["Talk", "clean_environment", "process", "run", "talk", "turns", "working"]

_FOREIGN = ("PAYI_", "OPENAI_", "LANGFUSE_", "OTEL_", "SENTRY_", "TRACELOOP_")
"""Settings of whoever runs it would change what is measured."""


def clean_environment() -> dict[str, str]:
    """Return the environment of a process that is measured."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(_FOREIGN)}
    kept = {name: value for name, value in kept.items() if not name.lower().endswith("_proxy")}
    kept.pop("PYTHONDONTWRITEBYTECODE", None)  # what pip installs has its bytecode, and so has what is imported twice
    return {
        **kept,
        "PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "src")]),
        "PYTHONHASHSEED": "0",
        "PAYI_JOURNAL": "off",
    }


class Talk:
    """A worker that is asked and answers.

    Args:
        running: its process.
        entry: whose worker it is.
    """

    def __init__(self, running: subprocess.Popen[str], entry: Entry) -> None:
        self._running = running
        self._entry = entry

    def ask(self, scenario: str, operations: int, **how: Any) -> dict[str, float]:
        """Ask for a turn, of fewer operations where they take long.

        Raises:
            RuntimeError: the worker has ended.
        """
        assert self._running.stdin is not None
        assert self._running.stdout is not None
        asked = {"scenario": scenario, "operations": min(operations, self._entry.most), **how}
        self._running.stdin.write(json.dumps(asked) + "\n")
        self._running.stdin.flush()
        line = self._running.stdout.readline()
        if not line:
            raise RuntimeError(f"{self._entry.name} has ended in {scenario}")
        told: dict[str, float] = json.loads(line)
        return told


@contextmanager
def process(
    python: Path | str, module: str, *arguments: str, folder: str | None = None
) -> Iterator[subprocess.Popen[str]]:
    """Run a module in a process of its own for as long as it is needed."""
    command = [str(python), "-m", module, *arguments]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=clean_environment(), cwd=folder
    ) as running:
        try:
            yield running
        finally:
            running.terminate()


def run(*command: str, folder: str) -> subprocess.CompletedProcess[str]:
    """Run a process that measures to its end, and return what it has told.

    Raises:
        subprocess.SubprocessError: it failed, or takes more than a quarter of an hour.
    """
    return subprocess.run(
        command, env=clean_environment(), cwd=folder, capture_output=True, text=True, check=True, timeout=900
    )


@contextmanager
def working(entry: Entry) -> Iterator[dict[str, str]]:
    """Give the options for an entry's tool: a folder and, where it reports to one, a sink."""
    with ExitStack() as stack:
        options = {**entry.options, "folder": stack.enter_context(TemporaryDirectory())}
        if entry.tool in ("langfuse_sdk", "payi_sdk") or options.get("to") in ("http", "hosted"):
            told = ("results",) if options.get("to") == "http" else ()
            sink = stack.enter_context(process(sys.executable, "benchmarks.peers.sink", str(entry.delay), *told))
            assert sink.stdout is not None
            options["sink"] = sink.stdout.readline().strip()
        yield options


@contextmanager
def talk(entry: Entry, python: Path | str) -> Iterator[Talk]:
    """Run an entry's worker."""
    with working(entry) as options:
        arguments = (entry.tool, json.dumps(options))
        with process(python, "benchmarks.peers.worker", *arguments, folder=options["folder"]) as running:
            yield Talk(running, entry)


def turns(
    talks: Mapping[str, Talk], scenario: str, rounds: int, operations: int | None = None
) -> dict[str, list[dict[str, float]]]:
    """Have workers take turns, A B C A B C, each round beginning with another one, and return what each tells."""
    count = operations or SCENARIOS[scenario].operations
    names = list(talks)
    for talk in talks.values():
        talk.ask(scenario, max(1, count // 4))  # the first time imports, and fills caches
        talk.ask(scenario, max(1, count // 4))
    told: dict[str, list[dict[str, float]]] = {name: [] for name in names}
    for number in range(rounds):
        first = number % len(names)
        for name in names[first:] + names[:first]:
            told[name].append(talks[name].ask(scenario, count))
    return told
