"""Our targets, and whether what was measured meets them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any

from benchmarks.peers.figures import added
from benchmarks.peers.fresh import BASES
from benchmarks.peers.roster import ROSTER, SCENARIOS

__all__ = ["WHY", "Row", "big", "ratio", "rows"]

_BARE = ROSTER[0].name
WHY = """\
Where pure Python ends:

- What is done for a call on the app's thread runs with cold caches: between two calls an app runs millions of
  instructions of its own (the table of the plain call has those of the OpenAI SDK). Each step of the interpreter that
  is done once has its bytecode, and whatever that names, fetched from afar: only fewer steps would help.
  What it takes to put a call on record and nothing else is in the tables of the plain call, too. The rest is asking
  which provider it is and whose call, whether a limit or a proxy has a say in it, telling a stream from an answer that
  comes whole, and finding the result again from the answer: little of each, but all of it cold.
- Each object that lives while a request waits brings the next collection of garbage forward, and a full one goes
  through all that is loaded, by the SDKs, by the embedded ledger and by us. After
  [`gc.freeze()`](https://docs.python.org/3/library/gc.html#gc.freeze) it passes over what was there before.
- What is put on record, and read from it, is plain Python: on a thread of ours, but under the same interpreter's lock.
  Where the machine has no core to spare, end to end shows that work, too.
- The embedded ledger prices and books in the app's process. An app that is at its limit had better report to a service,
  which books many at once, and for many processes.
- A result that a response waits for is an HTTP request of its own unless the service tells results in bulk, and an
  HTTP request costs more than all else that is done for a call.
- Importing makes classes and pydantic's models of what users hold in their hands; it is done once."""
"""What limits those that are missed."""


@dataclass(frozen=True)
class Row:
    """One target."""

    what: str
    target: str
    measured: str
    met: bool


def rows(results: Mapping[str, Any]) -> Iterator[Row]:
    """Yield each target."""
    on, off = _ours("embedded", "summary"), _ours("embedded", "off")
    bulk = _ours("http", "off")
    context = _added(results, "asgi", "starlette-context", "thread")
    for name, entry in (("on", on), ("off", off)):
        value = _added(results, "asgi", entry, "thread")
        yield Row(
            f"ASGI request, no call, headers {name}",
            f"≤ 15 µs, and below starlette-context ({context:.1f})",
            f"{value:.1f} µs{_share(results, 'asgi', value, 'thread')}",
            value <= min(15, context),
        )
    foreign = _added(results, "foreign", on, "thread")
    told = f"{foreign:.1f} µs{_share(results, 'foreign', foreign, 'thread')}"
    yield Row("call to another host", "≤ 1 µs", told, foreign <= 1)
    for scenario in ("chat", "chat-async"):
        for to, entry in (("HTTP in bulk", bulk), ("embedded ledger", on)):
            what = f"{_named(scenario)}, app's thread, journal included, {to}"
            yield _micros(results, scenario, entry, "thread", 60, what)
    for scenario in ("chat", "chat-async"):
        yield _micros(
            results, scenario, bulk, "cpu", 200, f"{_named(scenario)}, all threads, headers off, HTTP in bulk"
        )
    yield _micros(results, "stream", on, "thread", 2, "streamed chunk, app's thread")
    seconds, peak = big(results["big"], on)
    bare_seconds, bare_peak = big(results["big"], _BARE)
    times, more = seconds / bare_seconds, peak - bare_peak
    yield Row("stream of 20 MB, time", "≤ 1.05 of bare", f"{times:.2f} of bare", times <= 1.05)
    yield Row("stream of 20 MB, memory", "≤ 1 MB", f"{more:+.1f} MB", more <= 1)
    yield from _served(results["end-to-end"]["0"])
    seconds, _ = results["imports"][next(iter(BASES))][on]
    yield Row("import", "≤ 60 ms above httpx2 + pydantic", f"{seconds * 1e3:.0f} ms", seconds <= 0.06)
    lost = sum(
        max(0, told["calls"] - told["recorded"])
        for served in results["end-to-end"].values()
        for name, told in served.items()
        if name in {entry.name for entry in ROSTER if entry.ours}
    )
    yield Row("provider calls that were not recorded, end to end", "0", f"{lost}", lost == 0)


def _served(served: Mapping[str, Any]) -> Iterator[Row]:
    for headers, least in (("off", 0.9), ("summary", 0.8)):
        for to in ("http", "hosted", "embedded") if headers == "summary" else ("http", "embedded"):
            value = ratio(served, _ours(to, headers))
            where = {"http": "HTTP", "hosted": "HTTP, results singly", "embedded": "embedded ledger"}[to]
            what = f"end to end, {where}, headers {_word(headers)}"
            yield Row(what, f"≥ {least:.2f} of bare", f"{value:.2f} of bare", value >= least)
    near, far = (ratio(served, _ours("http", "off", delay)) for delay in (0.0, 0.05))
    yield Row(
        "end to end, ingest 50 ms away, headers off", f"as with 0 ms ({near:.2f})", f"{far:.2f}", far >= near * 0.95
    )


def ratio(served: Mapping[str, Any], name: str) -> float:
    """Return an entry's requests a second as a multiple of bare's, round by round, in the median."""
    pairs = zip(served[name]["rates"], served[_BARE]["rates"], strict=False)  # bare has more rounds than peers have
    return float(median(ours / bare for ours, bare in pairs))


def big(told: Mapping[str, Sequence[Mapping[str, float]]], name: str) -> tuple[float, float]:
    """Return the CPU seconds of a big stream, and the megabytes."""
    return median(turn["cpu"] for turn in told[name]), median(turn["peak"] for turn in told[name])


def _ours(to: str, headers: str, delay: float = 0.0) -> str:
    wanted = {"to": to, "headers": headers}
    return next(entry.name for entry in ROSTER if entry.ours and entry.options == wanted and entry.delay == delay)


def _added(results: Mapping[str, Any], scenario: str, name: str, figure: str) -> float:
    told = results["turns"][scenario]
    return added(told[name], told[_BARE], figure, SCENARIOS[scenario].parts).seconds * 1e6


def _micros(results: Mapping[str, Any], scenario: str, name: str, figure: str, most: float, what: str) -> Row:
    value = _added(results, scenario, name, figure)
    return Row(what, f"≤ {most:g} µs", f"{value:.1f} µs{_share(results, scenario, value, figure)}", value <= most)


def _share(results: Mapping[str, Any], scenario: str, micros: float, figure: str) -> str:
    bare = median(turn[figure] for turn in results["turns"][scenario][_BARE]) / SCENARIOS[scenario].parts
    return f" ({micros / 1e4 / bare:.1f} % of bare)"


def _named(scenario: str) -> str:
    return "plain async call" if scenario == "chat-async" else "plain call"


def _word(headers: str) -> str:
    return "on" if headers == "summary" else headers
