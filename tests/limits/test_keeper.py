"""Who keeps prices up to date asks once more whoever could not be asked."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from payi import Payi

from payi_middleware.ingest import IngestClient
from payi_middleware.limits.estimates import Costs, Resource
from payi_middleware.limits.keeper import Keeper
from tests.delivery.ingest_server import PAYI_KEY, Ingest, ingest_server
from tests.waiting import until

OWN: Resource = ("my-gateway", "own-model")


@pytest.fixture
def service(tmp_path: Path) -> Iterator[Ingest]:
    """A service that knows the price of a resource which no list has."""
    with ingest_server(tmp_path / "service.db") as ingest:
        with Payi(api_key=PAYI_KEY, base_url=ingest.url, max_retries=0) as payi:
            units: Any = {"text": {"input_price": 0.001, "output_price": 0.01}}
            payi.categories.resources.create(OWN[1], category=OWN[0], units=units)
        yield ingest


@pytest.fixture
def keeper(service: Ingest) -> Iterator[Keeper]:
    client = IngestClient(service.url, PAYI_KEY, timeout=10, connections=1)
    made = Keeper(lambda: client, None, owns_source=True)
    yield made
    made.close()


def test_a_price_that_could_not_be_told_during_an_outage_is_asked_for_once_more_and_used(
    service: Ingest, keeper: Keeper
) -> None:
    now = [1_000.0]
    keeper.costs = Costs(keeper._ask_price, lambda: now[0])
    service.mode = 503
    service.asked.clear()
    assert keeper.costs.upper(OWN, None) == Decimal("0.01")
    assert service.asked.wait(30)
    until(lambda: not keeper._prices)

    service.mode = "ok"
    assert keeper.costs.upper(OWN, None) == Decimal("0.01")
    now[0] += 61

    until(lambda: keeper.costs.upper(OWN, None) == 10)
