"""A ledger in a new file for each test."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from payi_middleware.service.ledger import Ledger


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    with Ledger(tmp_path / "payi.db") as opened:
        yield opened
