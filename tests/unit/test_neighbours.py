"""Other instrumentations of the same calls are noticed and named, once.

The others are modules made here: Pay-i's own SDK and the instrumentations of OpenTelemetry's kind patch the openai SDK
for the whole process, and their requirements exclude each other's, so that they cannot all be installed beside these
tests. OpenTelemetry's instrumentors are real as far as it matters: they derive from its `BaseInstrumentor`.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Collection, Iterator
from types import ModuleType
from typing import Any

import httpx2
import pytest
from opentelemetry.instrumentation.instrumentor import BaseInstrumentor  # type: ignore[attr-defined] # not checked there

from payi_middleware import Settings, instrument, neighbours
from tests.transport.calling import CHAT, COMPLETION

PAYI = "payi.lib.instrument"
OPENTELEMETRY = (
    "opentelemetry.instrumentation.openai",
    "opentelemetry.instrumentation.openai_v2",
    "opentelemetry.instrumentation.anthropic",
    "opentelemetry.instrumentation.genai.openai",
    "openinference.instrumentation.anthropic",
)


@pytest.fixture(autouse=True)
def _nothing_said_yet(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    neighbours.reset()
    caplog.set_level(logging.INFO, "payi_middleware")
    yield
    neighbours.reset()


def loaded(monkeypatch: pytest.MonkeyPatch, name: str, **members: Any) -> ModuleType:
    module = ModuleType(name)
    vars(module).update(members)
    monkeypatch.setitem(sys.modules, name, module)
    return module


def instrumentor() -> type[BaseInstrumentor]:
    """Make an instrumentor of OpenTelemetry's; its class counts how often its constructor ran."""

    class SomeInstrumentor(BaseInstrumentor):  # type: ignore[misc]
        made = 0

        def __init__(self) -> None:
            type(self).made += 1

        def instrumentation_dependencies(self) -> Collection[str]:
            return ()

        def _instrument(self, **kwargs: Any) -> None: ...

        def _uninstrument(self, **kwargs: Any) -> None: ...

    return SomeInstrumentor


def said(caplog: pytest.LogCaptureFixture) -> list[tuple[int, str]]:
    return [(record.levelno, record.getMessage()) for record in caplog.records if record.name == "payi_middleware"]


def call() -> None:
    """Make one provider call, which nobody but a function here answers."""
    transport = httpx2.MockTransport(lambda request: httpx2.Response(200, json=COMPLETION))
    with httpx2.Client(transport=transport) as client:
        client.post("https://api.openai.com/v1/chat/completions", json=CHAT)


def test_payi_instrument_is_warned_of_with_the_fix_however_often_we_instrument(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, settings: Settings
) -> None:
    loaded(monkeypatch, PAYI, _instrumentor=object())
    instrument(settings)
    instrument(settings)
    call()
    ((level, message),) = said(caplog)
    assert level == logging.WARNING
    for part in ("payi_instrument()", "reported twice", "remove it, or payi_middleware", "provider_response_id"):
        assert part in message


def test_payi_instrument_called_after_us_is_noticed_at_the_first_provider_call_only(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, settings: Settings
) -> None:
    payi = loaded(monkeypatch, PAYI, _instrumentor=None)
    instrument(settings)
    assert said(caplog) == []
    vars(payi)["_instrumentor"] = object()
    call()
    assert [level for level, _ in said(caplog)] == [logging.WARNING]


def test_after_the_first_provider_call_nobody_is_looked_for(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, settings: Settings
) -> None:
    payi = loaded(monkeypatch, PAYI, _instrumentor=None)
    instrument(settings)
    call()
    vars(payi)["_instrumentor"] = object()
    call()
    assert said(caplog) == []


@pytest.mark.parametrize("name", OPENTELEMETRY)
def test_who_records_spans_is_named_and_not_warned_of(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, settings: Settings, name: str
) -> None:
    other = instrumentor()
    other().instrument(skip_dep_check=True)
    loaded(monkeypatch, name, SomeInstrumentor=other, BaseInstrumentor=BaseInstrumentor)
    instrument(settings)
    call()
    ((level, message),) = said(caplog)
    assert level == logging.INFO
    assert message.startswith(f"{name} ")


@pytest.mark.parametrize("name", OPENTELEMETRY)
def test_who_is_loaded_but_does_not_instrument_is_not_named(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, settings: Settings, name: str
) -> None:
    never, stopped = instrumentor(), instrumentor()
    stopped().instrument(skip_dep_check=True)
    stopped().uninstrument()
    loaded(monkeypatch, name, NeverInstrumentor=never, StoppedInstrumentor=stopped, anInstrumentor="none")
    instrument(settings)
    call()
    assert said(caplog) == []


def test_looking_neither_imports_anything_nor_makes_an_instrumentor_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    other: Any = instrumentor()
    other().instrument(skip_dep_check=True)
    loaded(monkeypatch, OPENTELEMETRY[0], SomeInstrumentor=other)
    before = set(sys.modules)
    neighbours.look()
    assert set(sys.modules) == before
    assert other.made == 1


def test_a_neighbour_that_fails_when_looked_at_does_not_fail_us(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, settings: Settings
) -> None:
    class Broken:
        @property
        def is_instrumented_by_opentelemetry(self) -> bool:
            raise RuntimeError("secret")

    loaded(monkeypatch, OPENTELEMETRY[0], SomeInstrumentor=type("SomeInstrumentor", (), {"_instance": Broken()}))
    instrument(settings)
    call()
    ((level, message),) = said(caplog)
    assert level == logging.WARNING
    assert message.endswith("RuntimeError")
