"""Who keeps prices up to date asks once more whoever could not be asked."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from decimal import Decimal
from queue import SimpleQueue
from typing import Any

import pytest

from payi_middleware.exceptions import IngestConnectionError
from payi_middleware.granting import Asked
from payi_middleware.limits.estimates import Costs, Rates, Resource
from payi_middleware.limits.keeper import Keeper
from tests.waiting import until

OWN: Resource = ("my-gateway", "own-model")
RATES = Rates({"text": (Decimal("0.001"), Decimal("0.01"))})


class Desk:
    """A source that is away until somebody comes; a fake, as no real one is away and back between two questions."""

    def __init__(self) -> None:
        self.away = True
        self.asked: SimpleQueue[Resource] = SimpleQueue()

    def limit(self, limit_id: str) -> Mapping[str, Any]:
        """Nobody asks."""
        raise NotImplementedError

    def lease(self, limit_id: str, holder: str, asked: Asked) -> Mapping[str, Any] | None:
        """Nobody asks."""
        raise NotImplementedError

    def rates(self, resource: Resource) -> Rates | None:
        """Return prices, if anybody is there."""
        self.asked.put(resource)
        if self.away:
            raise IngestConnectionError("ConnectError")
        return RATES

    def close(self) -> None:
        """There is nothing to let go of."""


@pytest.fixture
def desk() -> Desk:
    return Desk()


@pytest.fixture
def keeper(desk: Desk) -> Iterator[Keeper]:
    made = Keeper(lambda: desk, None, owns_source=True)
    yield made
    made.close()


def test_a_price_that_nobody_could_tell_is_asked_for_once_more_and_used_then(desk: Desk, keeper: Keeper) -> None:
    now = [1_000.0]
    keeper.costs = Costs(keeper._ask_price, lambda: now[0])
    assert keeper.costs.upper(OWN, None) == Decimal("0.01")
    assert desk.asked.get(timeout=30) == OWN
    until(lambda: not keeper._prices)

    desk.away = False
    now[0] += 61

    until(lambda: keeper.costs.upper(OWN, None) == 10)
