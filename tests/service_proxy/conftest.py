"""A service in front of local servers that speak the providers' wires."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from payi_middleware.demo.provider import Provider
from payi_middleware.service.ledger import Ledger
from tests.service.conftest import database
from tests.transport import bedrock

from .serving import service

__all__ = ["database"]


@pytest.fixture
def ledger(database: str) -> Iterator[Ledger]:
    """A ledger in SQLite, and one in PostgreSQL."""
    with Ledger(database) as opened:
        yield opened


@pytest.fixture
def sqlite(tmp_path: Path) -> Iterator[Ledger]:
    """A ledger in a file, where it does not matter which database it is."""
    with Ledger(tmp_path / "payi.db") as opened:
        yield opened


@pytest.fixture(scope="session")
def provider() -> Iterator[Provider]:
    """OpenAI and Anthropic, as far as their SDKs can tell."""
    with Provider() as provider:
        yield provider


@pytest.fixture
def scripted() -> Iterator[bedrock.Bedrock]:
    """A server that answers what the test says, byte by byte."""
    with bedrock.serving() as server:
        yield server


@pytest.fixture
def url(ledger: Ledger) -> Iterator[str]:
    """The service, on each database."""
    with service(ledger) as url:
        yield url


@pytest.fixture
def sqlite_url(sqlite: Ledger) -> Iterator[str]:
    """The service, on SQLite."""
    with service(sqlite) as url:
        yield url
