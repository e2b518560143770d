"""Real servers under load: each in its own environment, with one provider, and one client at a time."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from time import sleep
from typing import Any
from urllib.parse import urlsplit

from benchmarks.peers.roster import ROSTER, Entry
from benchmarks.peers.running import clean_environment, process, working
from benchmarks.peers.tools.base import told_by

__all__ = ["CONNECTIONS", "Served", "end_to_end", "together"]

CONNECTIONS = 32
_BINDS = hasattr(os, "sched_setaffinity")
"""Linux does; elsewhere all share all cores, and the page's figures are noisier."""


@dataclass(frozen=True)
class Served:
    """What an entry's server did.

    Args:
        rates: requests a second, round by round.
        cpu: CPU seconds of the server for each request, round by round.
        calls: that the provider has answered.
        recorded: of them; None where nothing records them.
        failed: requests that were not answered with a 200.
    """

    rates: list[float]
    cpu: list[float]
    calls: int
    recorded: int | None
    failed: int


def end_to_end(
    pythons: Mapping[str, Path], delay: float, rounds: int, seconds: float, closer: int = 0
) -> dict[str, Served]:
    """Load each server in turns.

    Args:
        delay: seconds that the provider takes.
        closer: rounds more of bare and of ours, which are within a few hundredths of what they are to be.
    """
    with ExitStack() as stack, _cores() as (own, others):
        _bind(0, others)
        provider = _address(stack.enter_context(process(sys.executable, "benchmarks.peers.provider", str(delay))))
        servers: dict[str, str] = {}
        for entry in (entry for entry in ROSTER if entry.served):
            options = stack.enter_context(working(entry))
            arguments = (entry.tool, json.dumps(options), provider)
            server = stack.enter_context(
                process(pythons[entry.environment], "benchmarks.peers.serving", *arguments, folder=options["folder"])
            )
            _bind(server.pid, own)
            servers[entry.name] = _address(server)
        told: dict[str, list[dict[str, float]]] = {name: [] for name in servers}
        for url in servers.values():
            _load(url, provider, min(1.0, seconds))  # imports, and the first connections
        close = [entry.name for entry in ROSTER if entry.name in servers and (entry.ours or entry.tool == "bare")]
        for number in range(rounds + closer):
            names = list(servers) if number < rounds else close
            first = number % len(names)
            for name in names[first:] + names[:first]:
                told[name].append(_load(servers[name], provider, seconds))
    return {entry.name: _served(entry, told[entry.name]) for entry in ROSTER if entry.name in told}


def together(some: Sequence[Served], rounds: int) -> Served:
    """Put together what the servers of an entry did, one after the other.

    Args:
        rounds: of each, which come first in what is returned, as some have had more.
    """
    recorded = [served.recorded for served in some]
    parts = slice(None, rounds), slice(rounds, None)
    return Served(
        rates=[rate for part in parts for served in some for rate in served.rates[part]],
        cpu=[seconds for part in parts for served in some for seconds in served.cpu[part]],
        calls=sum(served.calls for served in some),
        recorded=None if recorded[0] is None else sum(told or 0 for told in recorded),
        failed=sum(served.failed for served in some),
    )


@contextmanager
def _cores() -> Iterator[tuple[set[int], set[int]]]:
    """Give a core for the server alone, and those for all else; the same where there is one only."""
    cores = os.sched_getaffinity(0) if _BINDS else {0}
    first = {min(cores)}
    try:
        yield first, cores - first or first
    finally:
        _bind(0, cores)


def _bind(process_id: int, cores: set[int]) -> None:
    if _BINDS:
        os.sched_setaffinity(process_id, cores)


def _served(entry: Entry, turns: list[dict[str, float]]) -> Served:
    return Served(
        rates=[turn["answered"] / turn["seconds"] for turn in turns],
        cpu=[turn["cpu"] / max(1, turn["answered"]) for turn in turns],
        calls=int(sum(turn["calls"] for turn in turns)),
        recorded=None if entry.tool == "bare" else int(sum(turn["call"] for turn in turns)),
        failed=int(sum(turn["failed"] for turn in turns)),
    )


def _load(url: str, provider: str, seconds: float) -> dict[str, float]:
    before, called = _told(url), told_by(provider)
    command = [sys.executable, "-m", "benchmarks.peers.load", url, str(CONNECTIONS), str(seconds)]
    done = subprocess.run(command, env=clean_environment(), capture_output=True, text=True, check=True, timeout=120)
    at_once = _told(url)
    calls = told_by(provider) - called
    after = at_once
    for _ in range(100):  # some report on their own time, with nothing that would wait for it
        if after["call"] - before["call"] >= calls or not after["call"]:
            break
        sleep(0.05)
        after = _told(url)
    told: dict[str, float] = json.loads(done.stdout)
    return {**told, "calls": calls, "cpu": at_once["cpu"] - before["cpu"], "call": after["call"] - before["call"]}


def _told(url: str) -> dict[str, Any]:
    import urllib.request

    parts = urlsplit(url)
    with urllib.request.urlopen(f"http://{parts.netloc}/told", timeout=90) as response:
        told: dict[str, Any] = json.loads(response.read())
        return told


def _address(running: subprocess.Popen[str]) -> str:
    assert running.stdout is not None
    return running.stdout.readline().strip()
