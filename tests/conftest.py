"""What every test gets: a clean environment, and nothing of ours left over from the test before."""

from __future__ import annotations

import gc
import os
import ssl
from collections.abc import Iterator
from functools import cache
from itertools import count
from pathlib import Path

import pytest
from hypothesis import settings as hypothesis_settings

from payi_middleware import Settings, log, meter, uninstrument
from payi_middleware.demo.provider import Provider

# Clients of tests share what they know of certificates: reading them takes 20 ms, and most of a client's making.
ssl.create_default_context = cache(ssl.create_default_context)  # type: ignore[assignment]

# No test is timed: a machine that is busy would fail it.
hypothesis_settings.register_profile("untimed", deadline=None)
hypothesis_settings.load_profile("untimed")


def pytest_collection_finish() -> None:
    """Keep what was loaded for ten thousand tests out of the garbage collector's sight: many tests call it."""
    gc.collect()
    gc.freeze()


@pytest.fixture(scope="session")
def states(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Names of directories that are not there yet: `mktemp` for each test looks through those of all tests before."""
    parent = tmp_path_factory.mktemp("states")
    return (parent / str(number) for number in count())


@pytest.fixture(autouse=True)
def _clean_environment(monkeypatch: pytest.MonkeyPatch, states: Iterator[Path]) -> None:
    for name in list(os.environ):
        if name.startswith(("PAYI_", "OPENAI_", "ANTHROPIC_", "GROQ_")) or name.lower().endswith("_proxy"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("XDG_STATE_HOME", str(next(states)))


@pytest.fixture(autouse=True)
def _clean_process() -> Iterator[None]:
    log.reset()
    yield
    uninstrument()
    meter.close_all()
    log.reset()


@pytest.fixture(scope="session")
def stand_in() -> Iterator[Provider]:
    """A local provider that speaks the wires of OpenAI, Anthropic and Groq."""
    with Provider() as provider:
        yield provider


@pytest.fixture
def provider(stand_in: Provider) -> Provider:
    """The same, with nothing recorded yet."""
    stand_in.requests.clear()
    return stand_in


@pytest.fixture
def ledger_path(tmp_path: Path) -> Path:
    """Where this test's embedded ledger is."""
    return tmp_path / "payi.db"


@pytest.fixture
def settings(ledger_path: Path) -> Settings:
    """Settings that report to this test's embedded ledger, and wait for results as long as it takes."""
    return Settings(ledger=ledger_path, header_wait=10.0)
