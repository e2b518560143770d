"""One service for each module and database, and an application of its own for each test."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests.service.databases import postgresql_url
from tests.service_api.serving import Http, Served, official_sdk, served


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def database(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    if request.param == "sqlite":
        yield f"sqlite:///{tmp_path_factory.mktemp('service') / 'payi.db'}"
    else:
        with postgresql_url() as url:
            yield url


@pytest.fixture(scope="module")
def service(database: str) -> Iterator[Served]:
    with served(database) as running:
        yield running


@pytest.fixture
def key(service: Served) -> str:
    return service.key()


@pytest.fixture
def http(service: Served, key: str) -> Iterator[Http]:
    with Http(service, key) as client:
        yield client


@pytest.fixture
def other(service: Served) -> Iterator[Http]:
    """A client of another application."""
    with Http(service, service.key()) as client:
        yield client


@pytest.fixture(params=["sync", "async"])
def sdk(request: pytest.FixtureRequest, service: Served, key: str) -> Iterator[Any]:
    with official_sdk(service, key, request.param) as client:
        yield client
