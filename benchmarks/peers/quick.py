"""Us against bare, and against the committed baseline, within three minutes: `python -m benchmarks.peers.quick`.

With `--baseline`, what is measured becomes the baseline. All of it runs in the environment of this interpreter, in
which bare is a process that does not import us.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from statistics import median

from benchmarks.peers.figures import bootstrapped, differences
from benchmarks.peers.judge import Reading, allowed, judged
from benchmarks.peers.roster import ROSTER, Entry
from benchmarks.peers.running import Talk, talk, turns

__all__ = ["BASELINE", "ROUNDS", "readings"]

BASELINE = Path(__file__).resolve().parents[1] / "baseline.json"
ROUNDS = 16
_BARE, _AGAIN = ROSTER[:2]
_CASES: Mapping[str, tuple[str, str, str, str]] = {
    "ASGI request, headers on": ("asgi", "embedded", "summary", "cpu"),
    "ASGI request, headers off": ("asgi", "embedded", "off", "cpu"),
    "call to another host": ("foreign", "embedded", "summary", "cpu"),
    "plain call, app's thread": ("chat", "embedded", "summary", "thread"),
    "plain call, all threads, HTTP in bulk": ("chat", "http", "off", "cpu"),
    "plain async call, app's thread": ("chat-async", "embedded", "summary", "thread"),
    "streamed chunk, app's thread": ("stream", "embedded", "summary", "thread"),
}
"""Scenario, where reports go, headers, and the figure."""


def _entry(to: str, headers: str) -> Entry:
    return next(
        entry for entry in ROSTER if entry.ours and entry.options == {"to": to, "headers": headers} and entry.scenarios
    )


def readings(names: list[str], rounds: int) -> dict[str, Reading]:
    """Measure these cases."""
    asked = [_CASES[name] for name in names]
    involved = {entry.name: entry for entry in [_BARE, _AGAIN, *(_entry(case[1], case[2]) for case in asked)]}
    found: dict[str, Reading] = {}
    with ExitStack() as stack:
        talks = {name: stack.enter_context(talk(entry, sys.executable)) for name, entry in involved.items()}
        for scenario in dict.fromkeys(case[0] for case in asked):
            here = {name: _CASES[name] for name in names if _CASES[name][0] == scenario}
            found |= _of_scenario(talks, scenario, here, rounds)
    return {name: found[name] for name in names}


def _of_scenario(
    talks: Mapping[str, Talk], scenario: str, cases: Mapping[str, tuple[str, str, str, str]], rounds: int
) -> dict[str, Reading]:
    ours = {name: _entry(case[1], case[2]).name for name, case in cases.items()}
    told = turns(
        {name: talks[name] for name in dict.fromkeys([_BARE.name, _AGAIN.name, *ours.values()])}, scenario, rounds
    )
    found = {}
    for name, (_, _, _, figure) in cases.items():
        bare = told[_BARE.name]
        usual = median(turn[figure] for turn in bare)
        more = differences(told[ours[name]], bare, figure)
        same = differences(told[_AGAIN.name], bare, figure)
        noise = bootstrapped(more) + bootstrapped(same) + abs(median(same)) / 2
        found[name] = Reading(median(more) / usual, noise / usual)
    return found


def _table(found: Mapping[str, Reading], baseline: Mapping[str, float], *, crowded: bool = False) -> str:
    lines = [f"{'added, as a share of bare':40} {'now':>8} {'noise':>8} {'baseline':>9} {'allowed':>8}"]
    for name, reading in found.items():
        known = baseline.get(name, 0.0)
        most = allowed(known, reading.noise, crowded=crowded)
        lines.append(f"{name:40} {reading.added:8.1%} {reading.noise:8.1%} {known:9.1%} {most:8.1%}")
    return "\n".join(lines) + "\n"


def _crowded() -> bool:
    """Return whether more is done on this machine than what we do: one thing at a time, and its threads."""
    return os.getloadavg()[0] > 1.8


def main(arguments: list[str]) -> int:
    """Measure, and return the exit code."""
    if arguments == ["--baseline"]:
        found = readings(list(_CASES), ROUNDS * 3)
        BASELINE.write_text(
            json.dumps({name: round(reading.added, 4) for name, reading in found.items()}, indent=2) + "\n",
            encoding="utf-8",
        )
        sys.stdout.write(_table(found, {}))
        return 0
    baseline: dict[str, float] = json.loads(BASELINE.read_text(encoding="utf-8"))
    if crowded := _crowded():
        sys.stdout.write("Others use the machine: only what costs as much again as bare counts as slower.\n")
    found = readings(list(_CASES), ROUNDS)
    crowded = crowded or _crowded()
    sys.stdout.write(_table(found, baseline, crowded=crowded))
    if worse := judged(baseline, found, crowded=crowded):
        suspects = [name for name in found if any(line.startswith(f"{name}:") for line in worse)]
        sys.stdout.write("\nOnce more, for longer: " + ", ".join(suspects) + "\n")
        again = readings(suspects, ROUNDS * 2)
        crowded = crowded or _crowded()
        sys.stdout.write(_table(again, baseline, crowded=crowded))
        worse = judged(baseline, again, crowded=crowded)
    if not worse:
        return 0
    sys.stdout.write(
        "\nSlower than the baseline:\n  "
        + "\n  ".join(worse)
        + "\n\nFind out where the time goes (python -m cProfile, pyinstrument, py-spy) and get it back. Where it is\n"
        "worth its price, make it the baseline, and say why in the commit:\n"
        "python -m benchmarks.peers.quick --baseline\n"
    )
    return 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
