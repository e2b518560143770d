"""What takes a process of its own to be seen: imports, and the memory that streams take."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import median

from benchmarks.peers.roster import ROSTER
from benchmarks.peers.running import clean_environment, talk

__all__ = ["BASES", "Footprint", "at_once", "big_streams", "imports"]

BASES = {
    "httpx2 and a pydantic model": """
import httpx2, pydantic
class Model(pydantic.BaseModel):
    field: str | None = pydantic.Field(default=None)
""",
    "the openai SDK": "import openai",
}
AT_ONCE = (1, 10, 100, 1_000)

_CLOSER = 4

Footprint = tuple[float, float]
"""Seconds and megabytes."""

_SCRIPT = """
import sys, time, json
def memory():
    with open("/proc/self/status") as status:
        return next(int(line.split()[1]) for line in status if line.startswith("VmRSS:")) / 1024
{base}
before, memory_before = time.process_time(), memory()
import {wanted}
print(json.dumps([time.process_time() - before, memory() - memory_before]))
"""


def imports(pythons: Mapping[str, Path], base: str, rounds: int) -> dict[str, Footprint]:
    """Return what importing each adds to a process that has imported the base."""
    wanted = {entry.name: (pythons[entry.environment], entry.imports) for entry in ROSTER if entry.imports}
    told: dict[str, list[Sequence[float]]] = {name: [] for name in wanted}
    for number in range(rounds + 1):
        for name, (python, modules) in wanted.items():
            script = _SCRIPT.format(base=BASES[base], wanted=modules)
            done = subprocess.run(
                [str(python), "-c", script], env=clean_environment(), capture_output=True, text=True, check=True
            )
            if number:  # the first time writes the bytecode
                told[name].append(json.loads(done.stdout.splitlines()[-1]))
    return {
        name: (median(each[0] for each in found), median(each[1] for each in found)) for name, found in told.items()
    }


def big_streams(pythons: Mapping[str, Path], rounds: int) -> dict[str, list[dict[str, float]]]:
    """Return what a stream of 20 MB takes each: seconds of CPU, and megabytes at its peak.

    Bare and we are within a few hundredths of each other, and take turns more often; some others take half a minute.
    """
    big = [entry for entry in ROSTER if entry.big]
    close = [entry for entry in big if entry.ours or entry.tool == "bare"]
    told: dict[str, list[dict[str, float]]] = {entry.name: [] for entry in big}
    for number in range(_CLOSER * rounds):
        for entry in big if number < rounds else close:
            with talk(entry, pythons[entry.environment]) as worker:
                worker.ask("stream", 1)
                worker.ask("stream", 1)
                told[entry.name].append(worker.ask("big-stream", 1, peak=True))
    return told


def at_once(pythons: Mapping[str, Path], rounds: int) -> dict[str, dict[int, list[dict[str, float]]]]:
    """Return what streams take that are read at once: seconds of CPU for a chunk, and megabytes for a stream."""
    told: dict[str, dict[int, list[dict[str, float]]]] = {}
    compared = [entry for entry in ROSTER if entry.big and (entry.ours or entry.tool == "bare")]
    for _ in range(rounds):
        for entry in compared:
            for count in AT_ONCE:
                with talk(entry, pythons[entry.environment]) as worker:
                    worker.ask("streams-at-once", 4)
                    turn = worker.ask("streams-at-once", count, peak=True)
                    told.setdefault(entry.name, {}).setdefault(count, []).append(turn)
    return told
