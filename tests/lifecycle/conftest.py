"""The stage, and a service whose ledger counts."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from payi_middleware.demo.provider import Provider
from tests.delivery.ingest_server import PAYI_KEY, Ingest, ingest_server
from tests.lifecycle.company import Stage, stage


@pytest.fixture(scope="session")
def theatre(stand_in: Provider) -> Iterator[Stage]:
    with stage(stand_in.openai_url) as ready:
        yield ready


@pytest.fixture
def remote_ledger(tmp_path: Path) -> Path:
    return tmp_path / "remote.db"


@pytest.fixture
def ingest(remote_ledger: Path) -> Iterator[Ingest]:
    with ingest_server(remote_ledger) as server:
        yield server


@pytest.fixture
def journal(tmp_path: Path) -> Path:
    """Where all processes of this test keep their journals."""
    return tmp_path / "journal"


@pytest.fixture
def settings(ingest: Ingest, journal: Path) -> dict[str, Any]:
    """What all processes of this test report by, to the service."""
    return {"base_url": ingest.url, "api_key": PAYI_KEY, "journal": str(journal)}
