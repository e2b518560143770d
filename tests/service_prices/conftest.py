"""A service over a real socket on each database, and Pay-i's own client for it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest
from payi import Payi

from payi_middleware.service.app import create_app
from payi_middleware.service.ledger import Ledger
from tests.service.conftest import database, ledger
from tests.service_api.conforming import conforms
from tests.service_proxy.serving import KEY, served, service

__all__ = ["database", "ledger"]


@pytest.fixture
def sqlite(tmp_path: Path) -> Iterator[Ledger]:
    """A ledger in a file, where it does not matter which database it is."""
    with Ledger(tmp_path / "payi.db") as opened:
        yield opened


@pytest.fixture
def url(ledger: Ledger) -> Iterator[str]:
    """The service, on each database."""
    with service(ledger) as address:
        yield address


@pytest.fixture
def client(url: str) -> Iterator[Payi]:
    """Pay-i's client of it; each answer is what the API's description says."""
    hooks = {"response": [conforms]}
    with Payi(api_key=KEY, base_url=url, max_retries=0, http_client=httpx.Client(event_hooks=hooks)) as opened:
        yield opened


@dataclass(frozen=True)
class Two:
    """Clients of two applications in one database."""

    one: Payi
    other: Payi


@pytest.fixture
def two(ledger: Ledger) -> Iterator[Two]:
    """Two applications."""
    keys = [ledger.create_key(name) for name in ("one", "other")]
    with served(create_app(ledger, stored_keys=True)) as url:
        one, other = (Payi(api_key=key, base_url=url, max_retries=0) for key in keys)
        with one, other:
            yield Two(one, other)
