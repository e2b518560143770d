"""Measure what the proxy adds to a call: `python -m benchmarks.proxy [postgresql+psycopg://...]`."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from http.client import HTTPConnection
from itertools import pairwise
from statistics import median, quantiles
from tempfile import TemporaryDirectory
from time import monotonic_ns, perf_counter
from urllib.parse import urlsplit

from benchmarks.machine import about, pace

CALLS, WARM, STREAMS = 600, 40, 6
PACED_SECONDS = 2.0
DIRECTLY = "directly"
CHAT = {"model": "gpt-4o-mini", "messages": [{"role": "user", "content": "word " * 300}]}
PROXIED = "/api/v1/proxy/openai/v1/chat/completions"
_SENT = re.compile(rb"sent (\d+) ")


@contextmanager
def process(module: str, *arguments: str) -> Iterator[str]:
    """Run a server in a process of its own, and give its address."""
    command = [sys.executable, "-m", module, *arguments]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as running:
        assert running.stdout is not None
        try:
            yield running.stdout.readline().strip()
        finally:
            running.terminate()


class Caller:
    """A client on one connection, which does as little as a client can.

    Args:
        url: the server.
        path: what is asked for there.
        headers: said with each call.
    """

    def __init__(self, url: str, path: str, headers: Mapping[str, str]) -> None:
        self._connection = HTTPConnection(urlsplit(url).netloc, timeout=60)
        self._path = path
        self._headers = {"content-type": "application/json", **headers}
        self._told = json.dumps(CHAT)
        self._streamed = json.dumps({**CHAT, "stream": True, "stream_options": {"include_usage": True}})

    def call(self) -> float:
        """Make a call, and return the seconds it took."""
        started = perf_counter()
        self._connection.request("POST", self._path, self._told, self._headers)
        response = self._connection.getresponse()
        body = response.read()
        seconds = perf_counter() - started
        assert response.status == 200, body
        return seconds

    def stream(self) -> tuple[list[float], list[float]]:
        """Return the seconds that each chunk was under way, and those between two chunks."""
        self._connection.close()  # it has been idle for longer than the server waits
        self._connection.request("POST", self._path, self._streamed, self._headers)
        response = self._connection.getresponse()
        under_way, moments = [], []
        while chunk := response.read1(65_536):
            now = monotonic_ns()
            for sent in _SENT.findall(chunk):
                under_way.append((now - int(sent)) / 1e9)
                moments.append(now)
        return under_way, [(after - before) / 1e9 for before, after in pairwise(moments)]

    def close(self) -> None:
        """Close the connection."""
        self._connection.close()


def told(seconds: list[float]) -> str:
    """Return the median and the 99th percentile in milliseconds, as cells of a table."""
    return f"{median(seconds) * 1e3:.2f} | {quantiles(seconds, n=100)[98] * 1e3:.2f}"


def calmest(rounds: list[dict[str, float]]) -> list[dict[str, float]]:
    """Return the quarter of the rounds in which a direct call took least: the machine has other work, too."""
    return sorted(rounds, key=lambda seconds: seconds[DIRECTLY])[: len(rounds) // 4]


def measured(callers: Mapping[str, Caller]) -> str:
    """Return the rows of a table; the callers take turns."""
    rounds = [{name: caller.call() for name, caller in callers.items()} for _ in range(WARM + CALLS)][WARM:]
    calm = calmest(rounds)
    under_way: dict[str, list[float]] = {name: [] for name in callers}
    gaps: dict[str, list[float]] = {name: [] for name in callers}
    for _ in range(STREAMS):
        for name, caller in callers.items():
            chunks, between = caller.stream()
            under_way[name] += chunks
            gaps[name] += between
    rows = []
    for name in callers:
        usual = median(seconds[name] for seconds in calm) * 1e3
        calls = [seconds[name] for seconds in rounds]
        rows.append(f"| {name} | {usual:.2f} | {told(calls)} | {told(under_way[name])} | {told(gaps[name])} |\n")
    return "".join(rows)


def page(databases: Mapping[str, str]) -> str:
    """Return the page with the table.

    Args:
        databases: URLs by name.
    """
    rows, before = "", pace(PACED_SECONDS)
    for name, database in databases.items():
        with ExitStack() as stack:
            provider = stack.enter_context(process("benchmarks.proxy_provider"))
            callers = {DIRECTLY: Caller(provider, "/v1/chat/completions", {})}
            service = stack.enter_context(process("benchmarks.proxy_service", database))
            said = {"xProxy-Provider-BaseUri": provider, "xProxy-User-ID": "alice"}
            limited = {**said, "xProxy-Limit-IDs": "budget", "xProxy-UseCase-Name": "support", "xProxy-UseCase-ID": "7"}
            callers[f"through the proxy, {name}"] = Caller(service, PROXIED, said)
            callers[f"through the proxy, {name}, limit and use case"] = Caller(service, PROXIED, limited)
            for caller in callers.values():
                stack.callback(caller.close)
            rows += measured(callers)
    after = pace(PACED_SECONDS)
    return f"""\
# What the proxy adds to a call

Printed by `python -m benchmarks.proxy` on {about("httpx2", "uvicorn")}.

The same client calls the same local provider directly and through the proxy, in turns, one call at a time (ms); each
store by itself. Calls are not streamed and answered with 1.5 KB at once; a chunk of a stream is sent every 5 ms, and
says when. Calm is the quarter of the rounds in which the direct call took least time, as other work on the machine only
ever adds to it. Before and after, 300,000 additions took {before * 1e3:.0f} and {after * 1e3:.0f} ms in Python.

| | call, calm: median | call: median | 99th % | chunk on its way: median | 99th % | between chunks: median | 99th % |
|---|---|---|---|---|---|---|---|
{rows}"""


if __name__ == "__main__":
    with TemporaryDirectory() as directory:
        chosen = {"SQLite": f"sqlite:///{directory}/payi.db"}
        if len(sys.argv) > 1:
            chosen["PostgreSQL"] = sys.argv[1]
        sys.stdout.write(page(chosen))
