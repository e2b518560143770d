"""Measure what reading costs, on the app's thread and off it.

python -m benchmarks.parsing > docs/reading-benchmarks.md
"""

from __future__ import annotations

import json
import os
import platform
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from importlib.metadata import version
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import httpx2

from benchmarks.answers import FAMILIES
from benchmarks.making import BODY, Answers
from benchmarks.measuring import Case, calm_medians, timed
from payi_middleware import Settings, flush, instrument, uninstrument
from payi_middleware.providers import Match, Reader, open_reader

ROUNDS = 101
BUDGET = 2e-6
CHUNK = "streamed chunk, "
COMPARED = "for comparison: `json.loads` of an OpenAI chat's chunk"
FINISHES, CALLS, CHOICES = 200, 100, 2_000
ASKED = {"model": "gpt-4o-mini", "messages": [{"role": "user", "content": "Hello"}]}
PROVIDER = "https://api.openai.com/v1/chat/completions"
FOREIGN = "https://api.example.com/v1/orders/17"
BARE = "bare"
METERED = "metered"


def reader_of(answers: Answers, *, streamed: bool) -> Reader:
    """Open a reader for a family's answer."""
    match = Match(answers.api, "category", "provider")
    return open_reader(match, 200, answers.stream_headers if streamed else BODY)


def feeding(answers: Answers) -> float:
    """Return the seconds for one chunk of a stream, without those of the loop around it."""
    reader = reader_of(answers, streamed=True)
    reader.feed(answers.opening)

    def feed(take: Callable[[bytes], object]) -> None:
        for chunk in answers.deltas:
            take(chunk)

    seconds = timed(partial(feed, reader.feed), len(answers.deltas)) - timed(partial(feed, id), len(answers.deltas))
    reader.feed(answers.ending)
    check(reader)
    return seconds


def loading() -> float:
    """Return the seconds that any SDK takes at least for a chunk of OpenAI's chat: to load its JSON."""
    told = [chunk.removeprefix(b"data: ") for chunk in FAMILIES["OpenAI chat"].deltas]

    def load() -> None:
        for chunk in told:
            json.loads(chunk)

    return timed(load, len(told))


def finishing(answers: Answers) -> float:
    """Return the seconds to read an answer in one body, once it has come."""
    readers = [reader_of(answers, streamed=False) for _ in range(FINISHES)]
    for reader in readers:
        reader.feed(answers.body)

    def finish() -> None:
        for reader in readers:
            reader.finish()

    seconds = timed(finish, FINISHES)
    check(readers[0])
    return seconds


def check(reader: Reader) -> None:
    """Make sure that what is measured works."""
    usage = reader.finish().usage
    if usage is None or (usage.input_tokens, usage.output_tokens) != (19, 500):
        raise RuntimeError(f"read wrongly: {usage}")


def answer(request: Any) -> Any:
    """Answer as a provider does: with a body that is read piece by piece."""
    body = FAMILIES["OpenAI chat"].body
    return httpx2.Response(200, headers=BODY, stream=httpx2.ByteStream(body))


@contextmanager
def metering(settings: Settings | None) -> Iterator[None]:
    """Meter calls in between, if there are settings."""
    if settings is not None:
        instrument(settings)
    try:
        yield
    finally:
        flush(30)
        uninstrument()


def calling(client: Any, settings: Settings | None) -> float:
    """Return the seconds of one provider call, plain."""

    def call() -> None:
        for _ in range(CALLS):
            client.post(PROVIDER, json=ASKED)

    with metering(settings):
        return timed(call, CALLS)


def choosing(client: Any, settings: Settings | None) -> float:
    """Return the seconds to choose the transport for another host, which is all that is done about it."""
    url = httpx2.URL(FOREIGN)

    def choose() -> None:
        for _ in range(CHOICES):
            client._transport_for_url(url)

    with metering(settings):
        return timed(choose, CHOICES)


def both(work: Callable[[Any, Settings | None], float], client: Any, settings: Settings) -> dict[str, Case]:
    """Return the bare and the metered case."""
    return {BARE: partial(work, client, None), METERED: partial(work, client, settings)}


def measured() -> Iterator[tuple[str, float]]:
    """Yield what was measured and its seconds."""
    chunks = calm_medians(
        {COMPARED: loading, **{name: partial(feeding, answers) for name, answers in FAMILIES.items()}}, ROUNDS
    )
    yield COMPARED, chunks.pop(COMPARED)
    whole = {name: answers for name, answers in FAMILIES.items() if answers.body}
    bodies = calm_medians({name: partial(finishing, answers) for name, answers in whole.items()}, ROUNDS)
    yield from ((f"{CHUNK}{name}, on the app's thread", seconds) for name, seconds in chunks.items())
    yield from ((f"answer of 1.5 KB, {name}, on a thread of ours", seconds) for name, seconds in bodies.items())
    with TemporaryDirectory() as directory, httpx2.Client(transport=httpx2.MockTransport(answer)) as client:
        settings = Settings(ledger=Path(directory) / "payi.db")
        calls = calm_medians(both(calling, client, settings), ROUNDS)
        choices = calm_medians(both(choosing, client, settings), ROUNDS)
    yield "plain call, without us", calls[BARE]
    yield "plain call, added on the app's thread", calls[METERED] - calls[BARE]
    yield "call to any other host, added on the app's thread", choices[METERED] - choices[BARE]


def machine() -> str:
    """Return the processor's name, where the system tells it, and how many cores there are."""
    told = Path("/proc/cpuinfo")
    lines = told.read_text(encoding="utf-8").splitlines() if told.exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return f"{names[0] if names else platform.machine()}, {os.cpu_count()} cores"


def budget(chunks: dict[str, float]) -> str:
    """Return the sentence that says which chunks cost no more than they may."""
    above = [name.removeprefix(CHUNK).partition(", on the app")[0] for name, each in chunks.items() if each > BUDGET]
    told = f"All {len(chunks)} kinds of streams are within it." if not above else f"Above it: {'; '.join(above)}."
    return f"A streamed chunk may cost the app's thread {BUDGET * 1e6:g} µs in the median. {told}"


def page() -> str:
    """Return the page with the table."""
    told = [f"{name} {version(name)}" for name in ("payi-middleware", "httpx2", "opentelemetry-api")]
    python = f"{platform.python_implementation()} {platform.python_version()}"
    seconds = dict(measured())
    rows = "".join(f"| {name} | {each * 1e6:.2f} |\n" for name, each in seconds.items())
    return f"""\
# What reading answers costs

{budget({name: each for name, each in seconds.items() if name.startswith(CHUNK)})}

| What | CPU time, µs |
|---|---|
{rows}
A chunk is one event, as hosts flush them: one word of 500, and with Gemini one sentence of 100. Where it is cut
anywhere, it is as many bytes as an event has on average. Its figure is the mean over a stream. An array's chunks are
held after its first words and read on a thread of ours, but for 128 KiB at a time of one that gets as long.

Measured with {python}, {", ".join(told)} on {platform.system()}, {machine()}.

To repeat it, run `.venv/bin/python -m benchmarks.parsing > docs/reading-benchmarks.md` after `make test`. Each
figure is the median of CPU time on the thread named, over the quarter of {ROUNDS} rounds in which the machine was
calmest: work on other cores slows this one's down to half of its speed. The cases take turns; still, figures of two
runs can differ by a third, so compare within one. The calls are made with httpx2 and answered in the process, and what
is reported of them goes to the embedded ledger.
"""


if __name__ == "__main__":
    sys.stdout.write(page())
