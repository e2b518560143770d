"""Who is compared, in which versions, and what each is asked to do."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from benchmarks.peers.tools.base import CALL, HTTP, SERVER

__all__ = ["BASE", "ENVIRONMENTS", "ROSTER", "SCENARIOS", "Entry", "Scenario", "entries"]

BASE = ("openai==3.54.0", "httpx2==2.16.2", "starlette==1.10.0", "uvicorn==0.54.0", "pydantic==2.14.4")
"""What every environment has."""

_OTEL = ("opentelemetry-sdk==1.45.2",)

ENVIRONMENTS: Mapping[str, tuple[str, ...]] = {
    "bare": (),
    "asgi-correlation-id": ("asgi-correlation-id==5.0.1",),
    "starlette-context": ("starlette-context==0.5.1",),
    # The GenAI instrumentation imports httpx, and does not import with opentelemetry-util-genai 1.3b0.
    "opentelemetry": (
        *_OTEL,
        "opentelemetry-instrumentation-asgi==0.66b2",
        "opentelemetry-instrumentation-httpx==0.66b2",
        "opentelemetry-instrumentation-openai-v2==2.4b0",
        "opentelemetry-util-genai==1.0b0",
        "httpx==0.28.1",
    ),
    "openllmetry": (*_OTEL, "opentelemetry-instrumentation-openai==0.62.4"),
    "langfuse": ("langfuse==5.0.4",),
    "sentry": ("sentry-sdk==2.75.0",),
    "payi": ("payi==0.1.0a183",),
    "ours": (),
}
"""What each has besides; ours has this project, with the embedded ledger."""


@dataclass(frozen=True)
class Scenario:
    """What is done in turns.

    Args:
        title: what a table calls it.
        operations: in one turn, so many that it does not matter that others have had the core's caches before.
        parts: of one operation that a figure is for, such as the chunks of a stream.
        kind: what a tool that records it records.
    """

    title: str
    operations: int
    parts: int = 1
    kind: str = CALL


SCENARIOS: Mapping[str, Scenario] = {
    "asgi": Scenario("An ASGI request without a provider call", 400, kind=SERVER),
    "foreign": Scenario("A call to another host", 150, kind=HTTP),
    "chat": Scenario("A plain chat completion, sync", 200),
    "chat-async": Scenario("A plain chat completion, async", 200),
    "stream": Scenario("A chunk of a stream of 500", 4, parts=500),
}

_ALL = ("foreign", "chat", "chat-async", "stream")
_CALLS = ("chat", "chat-async", "stream")


@dataclass(frozen=True)
class Entry:
    """One row of the tables.

    Args:
        name: what the tables call it.
        environment: which of `ENVIRONMENTS` it runs in.
        tool: module of `benchmarks.peers.tools`.
        scenarios: those it takes part in.
        options: for the tool.
        records: what it records, by scenario, where that is not the scenario's own kind; None where it has nothing to.
        served: it takes part end to end.
        imports: what an app imports for it; None leaves it out of the table of imports.
        delay: seconds that its sink takes to answer.
        big: it takes part in the stream of 20 MB.
        most: operations in one turn.
    """

    name: str
    environment: str
    tool: str
    scenarios: tuple[str, ...] = ()
    options: Mapping[str, str] = field(default_factory=dict)
    records: Mapping[str, str | None] = field(default_factory=dict)
    served: bool = False
    imports: str | None = None
    delay: float = 0.0
    big: bool = False
    most: int = 1_000

    @property
    def ours(self) -> bool:
        """Whether it is this project."""
        return self.tool == "ours"


def _ours(
    to: str, headers: str, *scenarios: str, delay: float = 0.0, big: bool = False, imports: bool = False
) -> Entry:
    slow = f", {delay * 1e3:g} ms away" if delay else ""
    where = {"embedded": "embedded ledger", "http": f"HTTP{slow}", "hosted": f"HTTP, results singly{slow}"}[to]
    return Entry(
        f"**payi-middleware**, {where}, headers {'on' if headers == 'summary' else 'off'}",
        "ours",
        "ours",
        scenarios,
        {"to": to, "headers": headers},
        records={"foreign": None, "asgi": None},
        served=True,
        delay=delay,
        big=big,
        imports="payi_middleware" if imports else None,
    )


_NOTHING: Mapping[str, str | None] = dict.fromkeys((*SCENARIOS,), None)

ROSTER: tuple[Entry, ...] = (
    Entry("bare", "bare", "bare", ("asgi", *_ALL), records=_NOTHING, served=True, big=True),
    Entry("bare, once more", "bare", "bare", ("asgi", *_ALL), records=_NOTHING, served=True),
    Entry("pure ASGI middleware that does nothing", "bare", "nothing", ("asgi",), {"kind": "asgi"}, _NOTHING),
    Entry("`BaseHTTPMiddleware` that does nothing", "bare", "nothing", ("asgi",), {"kind": "starlette"}, _NOTHING),
    Entry("the least that puts calls on record", "bare", "least", ("chat", "chat-async")),
    *(
        Entry(name, name, "correlation", ("asgi",), {"kind": name}, _NOTHING)
        for name in ("asgi-correlation-id", "starlette-context")
    ),
    Entry("OpenTelemetry ASGI", "opentelemetry", "otel", ("asgi",), {"parts": "asgi"}),
    Entry("OpenTelemetry httpx2", "opentelemetry", "otel", _ALL, {"parts": "httpx2"}, dict.fromkeys(_CALLS, HTTP)),
    Entry(
        "OpenTelemetry GenAI",
        "opentelemetry",
        "otel",
        _CALLS,
        {"parts": "genai"},
        big=True,
        imports="opentelemetry.sdk.trace.export, opentelemetry.instrumentation.openai_v2",
    ),
    Entry("OpenTelemetry, all three", "opentelemetry", "otel", _CALLS, {"parts": "asgi httpx2 genai"}, served=True),
    Entry(
        "OpenLLMetry",
        "openllmetry",
        "otel",
        _CALLS,
        {"parts": "openllmetry"},
        served=True,
        big=True,
        imports="opentelemetry.sdk.trace.export, opentelemetry.instrumentation.openai",
    ),
    Entry("langfuse", "langfuse", "langfuse_sdk", _CALLS, served=True, big=True, imports="langfuse, langfuse.openai"),
    Entry(
        "Sentry",
        "sentry",
        "sentry",
        ("asgi", *_ALL),
        served=True,
        big=True,
        imports="sentry_sdk, sentry_sdk.integrations.openai",
    ),
    Entry(
        "Pay-i's SDK",
        "payi",
        "payi_sdk",
        _CALLS,
        served=True,
        big=True,
        imports="payi, payi.lib.instrument",
        most=20,  # it sends them one after the other, and has its callers wait once there are some
    ),
    _ours("embedded", "summary", "asgi", *_ALL, big=True, imports=True),
    _ours("embedded", "off", "asgi"),
    _ours("http", "summary", "chat", "chat-async"),
    _ours("http", "off", *_CALLS, big=True),
    _ours("hosted", "summary"),
    _ours("http", "summary", delay=0.05),
    _ours("http", "off", delay=0.05),
)


def entries(scenario: str) -> list[Entry]:
    """Return who takes part in a scenario."""
    return [entry for entry in ROSTER if scenario in entry.scenarios]
