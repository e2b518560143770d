"""Instructions that an operation takes, counted by valgrind: the one figure that a busy machine does not change.

A process is counted as a whole, and the same one with more operations: the difference is theirs. All threads count.
https://valgrind.org/docs/manual/cg-manual.html
"""

from __future__ import annotations

import gc
import re
import shutil
import sys
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from json import dumps, loads
from pathlib import Path

from benchmarks.peers.roster import Entry, entries
from benchmarks.peers.running import run, working
from benchmarks.peers.tools.base import tool_of
from benchmarks.peers.worker import Worker

__all__ = ["COUNTED", "counted"]

COUNTED = ("asgi", "chat")
_FEW, _MANY = 20, 120
_COUNT = ("valgrind", "--tool=cachegrind", "--cache-sim=no", "--cachegrind-out-file=/dev/null")
_TOLD = re.compile(r"I\s+refs:\s+([\d,]+)")


def counted(pythons: Mapping[str, Path]) -> dict[str, dict[str, float]]:
    """Return the instructions of one operation by scenario and entry; nothing where there is no valgrind."""
    if shutil.which(_COUNT[0]) is None:
        sys.stderr.write("no valgrind here: instructions are not counted (apt-get install valgrind)\n")
        return {}
    asked = [(scenario, entry) for scenario in COUNTED for entry in entries(scenario)]
    with ThreadPoolExecutor(2) as pool:
        found = pool.map(lambda one: _each(pythons[one[1].environment], *one), asked)
        told: dict[str, dict[str, float]] = {scenario: {} for scenario in COUNTED}
        for (scenario, entry), instructions in zip(asked, found, strict=True):
            told[scenario][entry.name] = instructions
    return told


def _each(python: Path, scenario: str, entry: Entry) -> float:
    _process(python, scenario, entry, 1)  # the first one writes the bytecode, which the others then need not
    few, many = (_counted(python, scenario, entry, operations) for operations in (_FEW, _MANY))
    return (many - few) / (_MANY - _FEW)


def _counted(python: Path, scenario: str, entry: Entry, operations: int) -> int:
    told = _process(python, scenario, entry, operations, by=_COUNT)
    found = _TOLD.search(told)
    if found is None:
        raise RuntimeError(f"valgrind has told nothing of {entry.name}: {told[-500:]}")
    return int(found[1].replace(",", ""))


def _process(python: Path, scenario: str, entry: Entry, operations: int, by: Sequence[str] = ()) -> str:
    with working(entry) as options:
        module = ("-m", __name__, entry.tool, dumps(options), scenario, str(operations))
        done = run(*by, str(python), *module, folder=options["folder"])
    return done.stderr


def main() -> None:
    """Run turns, in the process that is counted."""
    name, options, scenario, operations = sys.argv[1:]
    worker = Worker(tool_of(name, loads(options)))
    worker.turn(scenario, _FEW)  # imports, and fills caches
    gc.collect()
    gc.freeze()  # or a full collection, which one run has and the other has not, would be the difference
    worker.turn(scenario, int(operations))


if __name__ == "__main__":
    main()
