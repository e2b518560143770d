"""A service of ours, served, and settings that report to it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from payi_middleware import Settings, meter
from payi_middleware.service.ledger import Ledger
from tests.service_proxy.serving import KEY, service


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
def ledger(ledger_path: Path) -> Iterator[Ledger]:
    """The books of the service."""
    with Ledger(ledger_path) as opened:
        yield opened


@pytest.fixture
def service_url(ledger: Ledger) -> Iterator[str]:
    """Where the service is served."""
    with service(ledger) as url:
        yield url
        meter.close_all()  # while there is still somebody to report to


@pytest.fixture
def remote(service_url: str) -> Settings:
    """Settings that report to the service."""
    return Settings(base_url=service_url, api_key=KEY, header_wait=10.0)


@pytest.fixture
def new_limit(ledger: Ledger) -> Callable[..., str]:
    """Make a limit of type block, of so many USD."""

    def make(maximum: str, limit_id: str = "budget", **settings: Any) -> str:
        more = {"limit_type": "block", **settings}
        ledger.create_limit(limit_name=f"The {limit_id}", max=float(maximum), limit_id=limit_id, **more)
        return limit_id

    return make
