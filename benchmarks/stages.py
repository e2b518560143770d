"""Measure what each part of a plain call's recording takes: `python -m benchmarks.stages > docs/call-benchmarks.md`.

One process has all the turns, and leaves out less and less of what is done for a call. Between two processes the same
code differs by some hundredths of a call, by where their memory happens to lie, which is more than a part takes.
"""

from __future__ import annotations

import gc
import json
import sys
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from functools import partial
from statistics import mean, median, stdev
from time import perf_counter, thread_time
from typing import Any
from unittest.mock import patch

from benchmarks.machine import about, pace
from benchmarks.peers.roster import ROSTER
from benchmarks.peers.running import run, working

__all__ = ["page"]

STARTS, ROUNDS = 8, 20
_CALLS, _WARM = 100, 10
_MODULE = "benchmarks.stages"


def _left_out() -> Mapping[str, list[tuple[Any, str, Callable[..., Any]]]]:
    """Return what is put in place of what, by the part that is the last one not left out."""
    from payi_middleware import patching, transport
    from payi_middleware.delivery import delivery
    from payi_middleware.journal.spool import Spool
    from payi_middleware.recorder import Exchange

    def unwatched(exchange: Exchange, *_response_and_how: object) -> None:
        exchange.forget()

    def only_ended(exchange: Exchange, *, complete: bool = False, finalising: bool = False) -> None:
        exchange.open, exchange.ended = False, perf_counter()

    def nowhere(_spool: Spool, _record: bytes) -> None:
        return None

    unstored = (Spool, "put", nowhere)
    return {
        "a client that finds its transport by way of ours": [(patching, "target_of", lambda _url: None)],
        "a call is recognised, and begun for whoever makes it": [(transport, "watch", unwatched)],
        "its answer is watched, and found again from the SDK's object": [(Exchange, "finish", only_ended)],
        "it is ended once, and queued for its report": [
            unstored,
            (delivery, "record_of", lambda _exchange, _hash_user: b""),
        ],
        "what a report needs is written down, the prompt left out": [unstored],
        "it is put on record, in memory that outlives the process": [],
    }


def _turns(rounds: int, calls: int, options: Mapping[str, str]) -> dict[str, list[float]]:
    """Return the CPU seconds that a call takes the app's thread, part by part, turn by turn."""
    import httpx2
    import openai

    from benchmarks.peers.provided import ASKED, PROVIDER, InProcess
    from benchmarks.peers.tools.base import CALL
    from benchmarks.peers.tools.ours import Ours

    tool = Ours(options)
    tool.start()
    client = openai.OpenAI(
        api_key="key", base_url=PROVIDER, http_client=httpx2.Client(transport=InProcess()), max_retries=0
    )
    ask = partial(client.chat.completions.create, **ASKED)
    ask()
    parts = _left_out()

    def turn(part: str) -> float:
        with ExitStack() as stack:
            for owner, name, instead in parts[part]:
                stack.enter_context(patch.object(owner, name, instead))
            for _ in range(_WARM):
                ask()
            gc.collect()
            began = thread_time()
            for _ in range(calls):
                ask()
            took = thread_time() - began
        tool.flush()
        return took / calls

    names = list(parts)
    for name in names:
        turn(name)
    told: dict[str, list[float]] = {name: [] for name in names}
    for number in range(rounds):
        first = number % len(names)
        for name in names[first:] + names[:first]:
            told[name].append(turn(name))
    reported = 1 + 3 * (rounds + 1) * (calls + _WARM)  # by the last three parts, two of which keep it in memory
    if tool.recorded() != {CALL: reported}:
        raise RuntimeError(f"{tool.recorded()} calls were reported, and not {reported}")
    return told


def _started() -> dict[str, list[float]]:
    entry = next(
        one for one in ROSTER if one.ours and one.options == {"to": "http", "headers": "off"} and not one.delay
    )
    with working(entry) as options:
        arguments = (str(ROUNDS), str(_CALLS), json.dumps(options))
        done = run(sys.executable, "-m", _MODULE, *arguments, folder=options["folder"])
    told: dict[str, list[float]] = json.loads(done.stdout)
    return told


def page() -> str:
    """Measure, and return the page."""
    quick = pace()
    starts = [_started() for _ in range(STARTS)]
    names = list(starts[0])
    bare = mean(median(told[names[0]]) for told in starts)
    lines = [
        f"""\
# What the recording of a call is made of

Printed by `python -m benchmarks.stages` on {about("openai", "httpx2")}.
300,000 additions in a Python function took {quick * 1e3:.1f} ms.

µs of CPU time on the app's thread for a plain chat completion of 1.2 KB, outside web requests. Each row does what those
above it do, and one thing more. All turns are of one process, A B C A B C, which is started anew {STARTS} times; ± is
the standard error of the mean of those. What a call takes in a process with us, against one without, is in
[the comparison with others](benchmarks.md).

The first row is a call of {bare * 1e6:.0f} µs, almost all of them the SDK's own.
""",
        "| up to where | in all | of its own |",
        "|---|---|---|",
        f"| {names[0]} | 0 | |",
    ]
    before = 0.0
    for name in names[1:]:
        more = [median(map(float.__sub__, told[name], told[names[0]])) * 1e6 for told in starts]
        error = stdev(more) / len(more) ** 0.5 if len(more) > 1 else 0.0
        lines.append(f"| {name} | {mean(more):.0f} ± {error:.0f} | {mean(more) - before:.0f} |")
        before = mean(more)
    lines.append(
        """
A change shows here where it is more than the ±.
To repeat it: `.venv/bin/python -m benchmarks.stages > docs/call-benchmarks.md` after `make test`."""
    )
    return "\n".join(lines) + "\n"


def main(arguments: list[str]) -> None:
    """Print the page, or what one process has measured."""
    if arguments:
        rounds, calls, options = arguments
        sys.stdout.write(json.dumps(_turns(int(rounds), int(calls), json.loads(options))))
    else:
        sys.stdout.write(page())


if __name__ == "__main__":
    main(sys.argv[1:])
