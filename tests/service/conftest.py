"""A ledger in a new file, and one in a new PostgreSQL schema, for each test."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from payi_middleware.service.ledger import Ledger
from tests.service.databases import postgresql_url


@pytest.fixture(params=["sqlite", "postgresql"])
def database(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """Name a database in which nothing is."""
    if request.param == "sqlite":
        yield f"sqlite:///{tmp_path / 'payi.db'}"
    else:
        with postgresql_url() as url:
            yield url


@pytest.fixture
def ledger(database: str) -> Iterator[Ledger]:
    with Ledger(database) as opened:
        yield opened
