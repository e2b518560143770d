"""A service, and the journal of apps that report to it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.delivery.ingest_server import Ingest, ingest_server


@pytest.fixture
def ingest(tmp_path: Path) -> Iterator[Ingest]:
    with ingest_server(tmp_path / "remote.db") as server:
        yield server


@pytest.fixture
def journal(tmp_path: Path) -> Path:
    return tmp_path / "journal"
