"""Measure us and the peers: `python -m benchmarks.peers [part ...]`, or `make bench`.

Parts are instructions, turns, end-to-end, imports, big, growth; without any, all. Each keeps what it has measured in
`.bench/results.json`, of which the page and the charts are made; `page` makes them once more.
"""

from __future__ import annotations

import json
import os
import sys
from contextlib import ExitStack
from dataclasses import asdict
from pathlib import Path
from typing import Any

from benchmarks.machine import about
from benchmarks.peers import fresh, growth, instructions, page
from benchmarks.peers.end_to_end import end_to_end, together
from benchmarks.peers.environments import ROOT, prepared
from benchmarks.peers.roster import ENVIRONMENTS, ROSTER, SCENARIOS, entries
from benchmarks.peers.running import talk, turns

_KEPT = ROOT / ".bench" / "results.json"
_ROUNDS = int(os.environ.get("BENCH_ROUNDS", "15"))
_SECONDS = float(os.environ.get("BENCH_SECONDS", "1"))
"""Of load in one turn: many short ones, as the machine's speed changes from one second to the next."""
_STARTS, _SERVERS = 6, 3
"""Times that every worker, and every server, is started anew: where its memory happens to lie makes one slower than the
next for good."""


def _say(what: str) -> None:
    sys.stderr.write(f"{what} ...\n")


def _instructions(pythons: dict[str, Path], results: dict[str, Any]) -> None:
    _say("instructions")
    results["instructions"] = instructions.counted(pythons)


def _turns(pythons: dict[str, Path], results: dict[str, Any]) -> None:
    told: dict[str, dict[str, list[dict[str, float]]]] = {}
    for start in range(_STARTS):
        with ExitStack() as stack:
            talks = {
                entry.name: stack.enter_context(talk(entry, pythons[entry.environment]))
                for entry in ROSTER
                if entry.scenarios
            }
            for scenario in SCENARIOS:
                _say(f"{scenario}, {start + 1} of {_STARTS}")
                involved = {entry.name: talks[entry.name] for entry in entries(scenario)}
                for name, some in turns(involved, scenario, _of_each(_ROUNDS, _STARTS)).items():
                    told.setdefault(scenario, {}).setdefault(name, []).extend(some)
    results["turns"] = told


def _of_each(rounds: int, starts: int) -> int:
    return max(1, -(-rounds // starts))


def _end_to_end(pythons: dict[str, Path], results: dict[str, Any]) -> None:
    for delay, rounds, closer in ((0.0, _ROUNDS, 2 * _ROUNDS), (0.3, _ROUNDS // 3, 0)):
        started, each = [], _of_each(rounds, _SERVERS)
        for start in range(_SERVERS):
            _say(f"end to end, {delay * 1e3:g} ms, {start + 1} of {_SERVERS}")
            started.append(end_to_end(pythons, delay, each, _SECONDS, closer // _SERVERS))
        told = {name: asdict(together([served[name] for served in started], each)) for name in started[0]}
        results.setdefault("end-to-end", {})[f"{delay * 1e3:g}"] = told


def _imports(pythons: dict[str, Path], results: dict[str, Any]) -> None:
    _say("imports")
    results["imports"] = {base: fresh.imports(pythons, base, max(3, _ROUNDS // 4)) for base in fresh.BASES}


def _big(pythons: dict[str, Path], results: dict[str, Any]) -> None:
    _say("a stream of 20 MB")
    results["big"] = fresh.big_streams(pythons, 3)


def _growth(pythons: dict[str, Path], results: dict[str, Any]) -> None:
    _say("streams at once")
    results["at-once"] = fresh.at_once(pythons, 2)
    _say("ledgers")
    results["ledger"] = dict(growth.ledgers())


_PARTS = {
    "instructions": _instructions,
    "turns": _turns,
    "end-to-end": _end_to_end,
    "imports": _imports,
    "big": _big,
    "growth": _growth,
}
_PAGED = {part: part for part in _PARTS} | {"growth": "ledger"}
"""What each part leaves last in the results."""


def main(wanted: list[str]) -> int:
    """Measure, and write the page and the charts."""
    if unknown := set(wanted) - set(_PARTS) - {"page"}:
        sys.stderr.write(f"no such part: {', '.join(sorted(unknown))}\n")
        return 2
    results: dict[str, Any] = json.loads(_KEPT.read_text(encoding="utf-8")) if wanted and _KEPT.exists() else {}
    if wanted != ["page"]:
        results["about"] = {"machine": about(), "load": os.getloadavg()[0]}
        _say("environments")
        pythons = {name: prepared(name) for name in ENVIRONMENTS}
        for part in [part for part in _PARTS if not wanted or part in wanted]:
            _PARTS[part](pythons, results)
            _KEPT.write_text(json.dumps(results), encoding="utf-8")
    results = json.loads(_KEPT.read_text(encoding="utf-8"))
    if missing := [part for part, name in _PAGED.items() if name not in results]:
        sys.stderr.write(f"kept in {_KEPT}; for the page, also measure: {', '.join(missing)}\n")
        return 0
    page.draw(results, page.DOCS / "charts")
    (page.DOCS / "benchmarks.md").write_text(page.write(results), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
