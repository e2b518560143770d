"""Measure what limits add to a call: `python -m benchmarks.limits > docs/limits-benchmarks.md`."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from time import monotonic
from typing import Any

from benchmarks.machine import about
from benchmarks.measuring import calm_medians, timed
from payi_middleware import Settings, flush, instrument, track_context
from payi_middleware.beginning import begin
from payi_middleware.context import current_frame
from payi_middleware.limits import money
from payi_middleware.limits.budget import Told
from payi_middleware.meter import Meter
from payi_middleware.recorder import Exchange
from payi_middleware.urls import target_at

ROUNDS, CALLS = 101, 200
BODY = b'{"model":"gpt-4o-mini","max_tokens":100,"messages":[{"role":"user","content":"%s"}]}' % (b"word " * 300)
NAMES = {0: "a call without a limit", 1: "a call with one limit", 3: "a call with three limits"}
CHAT = target_at("https", "api.openai.com", None, "/v1/chat/completions")
HEADERS = {"content-type": "application/json", "authorization": "Bearer key"}


def exchanges() -> list[Exchange]:
    """Begin calls as a transport does."""
    made = []
    for _ in range(CALLS):
        exchange = begin("POST", CHAT, HEADERS, BODY, current_frame())
        assert exchange is not None
        made.append(exchange)
    return made


def checking(limit_ids: list[str]) -> Callable[[], float]:
    """Return a case: the seconds that it takes to let a call pass its limits."""

    def check() -> float:
        with track_context(limit_ids=limit_ids):
            made = exchanges()

            def ask() -> None:
                for exchange in made:
                    admission = exchange.ask()
                    if admission is not None:
                        assert admission.conclude() is None

            seconds = timed(ask, CALLS)
        for exchange in made:
            exchange.discard()
        return seconds

    return check


def known(meter: Meter, limit_ids: list[str]) -> None:
    """Have the meter know limits with room for any call, and the price of the model."""
    budgets: Any = meter._limiting.gate.budgets
    told = Told("a limit", True, money.roof(money.usd(10**18)), 0)
    budgets.prepare(limit_ids)
    for limit_id in limit_ids:
        budgets.learn(limit_id, told, monotonic() + 3_600)
    costs: Any = meter._limiting.gate.costs
    while costs.upper(("system.openai", "gpt-4o-mini"), BODY) > 0.001:
        time.sleep(0.05)


def page() -> str:
    """Measure, and return the page."""
    with TemporaryDirectory() as directory:
        meter = instrument(Settings(ledger=Path(directory) / "payi.db", journal="off", headers="off"))
        named = [f"limit-{number}" for number in range(3)]
        known(meter, named)
        cases = {NAMES[count]: checking(named[:count]) for count in NAMES}
        found = calm_medians(cases, ROUNDS)
        assert flush(30)
    rows = "\n".join(f"| {name} | {seconds * 1e6:.2f} |" for name, seconds in found.items())
    return f"""# What limits add to a call

Before a call goes out, on the app's thread, where its limits have room: at most 20 µs, and no I/O.

| What | CPU time, µs |
|---|---|
{rows}

Measured with {about("openai")}. The prompt has 1.5 KB; each figure is the median
over the calmest quarter of {ROUNDS} rounds, in which the cases take turns. To repeat it, run
`.venv/bin/python -m benchmarks.limits > docs/limits-benchmarks.md` after `make test`.
"""


if __name__ == "__main__":
    sys.stdout.write(page())
