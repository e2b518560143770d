"""What the tests of streams share: a provider's SDK to call from within an app, and servers."""

from __future__ import annotations

from pathlib import Path

import pytest

from payi_middleware import Settings
from tests.doors.conftest import ask

__all__ = ["ask"]

Options = dict[str, object]


@pytest.fixture
def options(ledger_path: Path) -> Options:
    """Arguments of settings that wait for results as long as it takes, where a response ends."""
    return {"ledger": ledger_path, "header_wait": 0.0, "stream_wait": 20.0}


@pytest.fixture
def eventful(options: Options) -> Settings:
    """Settings with which event streams get a last event."""
    return Settings(**options, sse_summary=True)
