"""What every test gets: a clean environment, and nothing of ours left over from the test before."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings as hypothesis_settings

from payi_middleware import Settings, log, meter, uninstrument
from payi_middleware.demo.provider import Provider

# No test is timed: a machine that is busy would fail it.
hypothesis_settings.register_profile("untimed", deadline=None)
hypothesis_settings.load_profile("untimed")


@pytest.fixture(autouse=True)
def _clean_environment(monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> None:
    for name in list(os.environ):
        if name.startswith(("PAYI_", "OPENAI_", "ANTHROPIC_", "GROQ_")) or name.lower().endswith("_proxy"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path_factory.mktemp("state")))


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
