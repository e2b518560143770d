"""The page and the charts, of whatever was measured."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks.peers import charts, targets
from benchmarks.peers.environments import ROOT, versions
from benchmarks.peers.figures import added, seen
from benchmarks.peers.fresh import BASES
from benchmarks.peers.provided import CHUNKS_AT_ONCE
from benchmarks.peers.roster import ROSTER, SCENARIOS, Entry, entries
from benchmarks.peers.worker import PACE_STEPS

__all__ = ["draw", "write"]

DOCS = ROOT / "docs"
Results = Mapping[str, Any]
_BARE = ROSTER[0].name


def write(results: Results) -> str:
    """Return the page."""
    return "\n".join(
        [*_opening(results), *_turns(results), *_served(results), *_fresh(results), *_growth(results), _METHOD]
    )


def draw(results: Results, folder: Path) -> None:
    """Draw the charts."""
    folder.mkdir(exist_ok=True)
    ours = frozenset(entry.name for entry in ROSTER if entry.ours)
    for scenario, instructions in results["instructions"].items():
        bare = instructions[_BARE]
        values = {name: max(0.0, each / bare - 1) * 100 for name, each in instructions.items() if "bare" not in name}
        title = f"{SCENARIOS[scenario].title}: instructions added, all threads"
        charts.bars(folder / f"{scenario}.svg", title, "% of bare's", values, ours, None)
    for scenario, target in (("asgi", 15.0), ("chat", 60.0), ("chat-async", 60.0), ("stream", 2.0)):
        if scenario in results["instructions"]:
            continue
        told = results["turns"][scenario]
        parts = SCENARIOS[scenario].parts
        values = {
            entry.name: max(0.0, added(told[entry.name], told[_BARE], "thread", parts).seconds * 1e6)
            for entry in entries(scenario)
            if entry.tool != "bare"
        }
        title = f"{SCENARIOS[scenario].title}: added on the app's thread"
        charts.bars(folder / f"{scenario}.svg", title, "µs", values, ours, target)
    served = results["end-to-end"]["0"]
    rates = {name: targets.ratio(served, name) for name in served if name != _BARE}
    charts.bars(folder / "end-to-end.svg", "Requests a second, end to end, against bare", "of bare", rates, ours, 0.9)


def _opening(results: Results) -> Iterator[str]:
    about = results["about"]
    pace = median(turn["pace"] for told in results["turns"].values() for turn in told[_BARE])
    yield f"""\
# What it costs, and what others cost

Printed by `make bench` on {about["machine"]}; load {about["load"]:.1f} before it began.
How quick it was: {PACE_STEPS:,} rounds of a loop of the interpreter's took {pace * 1e6:.0f} µs in the median.
Compare the figures of this page with each other, not with those of another machine or day. What each provider's streams
cost to read is on [a page of its own](reading-benchmarks.md), and so is [what keeping and delivering reports
costs](delivery-benchmarks.md). [What the recording of a call is made of](call-benchmarks.md) is measured part by part.

## Our targets

| what | target | measured | |
|---|---|---|---|"""
    for row in targets.rows(results):
        yield f"| {row.what} | {row.target} | {row.measured} | {'met' if row.met else '**missed**'} |"
    yield ""
    yield targets.WHY


def _turns(results: Results) -> Iterator[str]:
    for scenario, about in SCENARIOS.items():
        told = results["turns"][scenario]
        bare = median(turn["thread"] for turn in told[_BARE]) / about.parts * 1e6
        yield f"\n## {about.title}\n"
        counted = results["instructions"].get(scenario)
        if scenario != "foreign":
            yield f"![{'Added instructions' if counted else 'Added µs'}](charts/{scenario}.svg)\n"
        yield f"µs of CPU time added to bare, which takes {bare:.0f}; ± half the distance between the quartiles."
        if counted:
            yield f"Thousands of instructions added, on all threads, to bare's {counted[_BARE] / 1e3:,.0f}."
        yield f"\n| | app's thread | all threads |{' instructions |' if counted else ''} recorded |"
        yield f"|---|---|---|{'---|' if counted else ''}---|"
        for entry in entries(scenario):
            if entry.name == _BARE:
                continue
            own, every = (added(told[entry.name], told[_BARE], figure, about.parts) for figure in ("thread", "cpu"))
            cells = [f"{each.seconds * 1e6:.1f} ± {each.spread * 1e6:.1f}" for each in (own, every)]
            if counted:
                cells.append(f"{(counted[entry.name] - counted[_BARE]) / 1e3:+,.0f}")
            yield f"| {entry.name} | {' | '.join(cells)} | {seen(entry, scenario, told[entry.name])} |"


def _served(results: Results) -> Iterator[str]:
    yield """
## End to end

![Requests a second against bare](charts/end-to-end.svg)

uvicorn with one process and h11, a Starlette handler that makes one call with `AsyncOpenAI`, a local provider, and a
client with 32 connections. The app's process has a core of its own, with all of its threads; provider, client and sinks
share the others. At 0 ms that core is what limits it; at 300 ms the provider is."""
    for delay, served in results["end-to-end"].items():
        yield f"\nThe provider answers after {delay} ms:\n"
        yield "| | requests a second | of bare | CPU ms a request | provider calls | not recorded | failed |"
        yield "|---|---|---|---|---|---|---|"
        for name, told in served.items():
            lost = "n/a" if told["recorded"] is None else f"{max(0, told['calls'] - told['recorded']):,}"
            yield (
                f"| {name} | {median(told['rates']):.0f} | {targets.ratio(served, name):.2f} "
                f"| {median(told['cpu']) * 1e3:.2f} | {told['calls']:,} | {lost} | {told['failed']} |"
            )


def _fresh(results: Results) -> Iterator[str]:
    yield "\n## A stream of 20 MB\n\n5,000 chunks of 4 KB, in a fresh process each.\n"
    yield "| | CPU s | of bare | MB at the peak | above bare | recorded |\n|---|---|---|---|---|---|"
    big = results["big"]
    for entry in (entry for entry in ROSTER if entry.name in big):
        seconds, peak = targets.big(big, entry.name)
        bare_seconds, bare_peak = targets.big(big, _BARE)
        yield (
            f"| {entry.name} | {seconds:.2f} | {seconds / bare_seconds:.2f} | {peak:.1f} | {peak - bare_peak:+.1f} "
            f"| {_big_seen(entry, big[entry.name])} |"
        )
    yield "\n## Import\n\nCPU time and memory that importing adds, in fresh processes.\n"
    yield f"| | {' | '.join(f'ms above {base} | MB' for base in BASES)} |\n|---|{'---|' * 2 * len(BASES)}"
    told = results["imports"]
    for name in next(iter(told.values())):
        cells = (f"{told[base][name][0] * 1e3:.0f} | {told[base][name][1]:.1f}" for base in BASES)
        yield f"| {name} | {' | '.join(cells)} |"


def _big_seen(entry: Entry, told: list[Mapping[str, float]]) -> str:
    return "n/a" if entry.tool == "bare" else f"{sum(turn['call'] for turn in told) / len(told):.0%}"


def _growth(results: Results) -> Iterator[str]:
    yield "\n## Growth\n"
    yield f"Streams of {CHUNKS_AT_ONCE} chunks that are read at once by one event loop, in a fresh process each:\n"
    yield "| | streams | CPU µs a chunk | KB a stream | recorded |\n|---|---|---|---|---|"
    for name, counts in results["at-once"].items():
        for count, turns in counts.items():
            cpu = median(turn["cpu"] for turn in turns) / CHUNKS_AT_ONCE * 1e6
            grown = median(turn["peak"] for turn in turns) / int(count) * 1024
            kept = sum(turn["call"] for turn in turns) / (int(count) * len(turns))
            yield f"| {name} | {int(count):,} | {cpu:.1f} | {grown:.0f} | {'n/a' if name == _BARE else f'{kept:.0%}'} |"
    yield "\nThe ledger in SQLite, with as many requests in it:\n"
    yield "| rows | a booking, ms | the dashboard's first page, ms |\n|---|---|---|"
    for rows, told in results["ledger"].items():
        yield f"| {int(rows):,} | {told['booking'] * 1e3:.2f} | {told['page'] * 1e3:.1f} |"


_METHOD = f"""
## How it is measured

- Each row is a process of its own, in a virtual environment of its own, set up as its documentation says, and started
  anew six times (end to end: three times), as one is slower than the next for as long as it lives by where its memory
  happens to lie. The processes take turns, A B C A B C, each round beginning with another one, and a figure is the
  median of what is added to bare in the same round. End to end, one turn differs from the next by a tenth: bare and
  ours have three times as many there as the others.
- CPU time, not time on the clock. "App's thread" is what a request waits for; "all threads" has in it what a tool does
  in the background, and what it does to flush at the end of the turn.
- Instructions are counted by valgrind, as the difference between two runs, one with 100 operations more. They are the
  same on a machine that is busy, where times are not.
- "bare, once more" is a second bare process: what it adds is the error of a table, and what is less says nothing.
- The provider answers in the process, with 1.2 KB, or with a stream of 500 chunks. Calls are made by the openai SDK,
  outside web requests, where no response waits for a result of ours; end to end, they are made in requests.
- "Recorded" is counted where it arrives: spans at an exporter that counts, Sentry's transport, rows in the ledger, or
  reports at a sink on the same machine, which OTLP, langfuse and Pay-i's ingest reach over HTTP. Where it says *, there
  is nothing to record, and the response's headers were looked at instead.
- Sentry records calls within transactions only: here, one around each turn. OpenTelemetry's ASGI middleware makes one
  span a request, without those of its messages.
- Ours, embedded: prices and books each call in a SQLite file, in the same process. HTTP, headers off: sends reports in
  bulk. HTTP, headers on: the response waits for the result, so that a report is sent at once, and with those that have
  come meanwhile; "results singly" is a service that tells no results in bulk, as the hosted Pay-i does not.
- Memory is the process's peak above what it had before, reset in between.

Versions: {", ".join(versions())}.

To repeat it: `make bench` (three quarters of an hour; it makes the environments in `.bench/`), or `make bench-quick`
(below 3 minutes), which compares us with bare and with `benchmarks/baseline.json`, and which the project's CI runs.
"""
