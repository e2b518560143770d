"""The price list is packed in memory, and says the same as if it were not."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from decimal import Decimal

import pytest
from genai_prices.data import providers
from genai_prices.data_snapshot import DataSnapshot, set_custom_snapshot
from genai_prices.types import ClauseEquals, ModelInfo, ModelPrice, Provider

from payi_middleware.limits.catalogue import listed_rates
from payi_middleware.packed_prices import PackedPrices, built_in
from payi_middleware.service.prices.catalogue import Catalogue

_UNPACKED = """
import gc, sys
from datetime import UTC, datetime
from payi_middleware.limits.catalogue import listed_rates
from payi_middleware.service.prices.catalogue import find_resource
for name in ("gpt-4o-mini", "gpt-4o-mini", "gpt-4.1"):
    assert listed_rates(("system.openai", name)) and find_resource("system.openai", name, datetime.now(UTC))
gc.collect()
print(sum(type(one).__name__ == "ModelInfo" for one in gc.get_objects()), "genai_prices.data" in sys.modules)
"""


@pytest.fixture
def updated() -> Iterator[None]:
    """Prices that the app keeps up to date itself: https://github.com/pydantic/genai-prices, `UpdatePrices`."""
    price = ModelPrice(input_mtok=Decimal(7), output_mtok=Decimal(11))
    model = ModelInfo(id="gpt-4o-mini", match=ClauseEquals("gpt-4o-mini"), prices=price)
    provider = Provider(id="openai", name="OpenAI", api_pattern="x", models=[model])
    set_custom_snapshot(DataSnapshot(providers=[provider], from_auto_update=True))
    yield
    set_custom_snapshot(None)


@pytest.mark.parametrize("provider", providers, ids=lambda provider: provider.id)
def test_a_provider_is_unpacked_as_it_was_with_those_whose_models_it_offers(provider: Provider) -> None:
    own, *others = built_in().unpacked(provider.id)

    assert own == replace(provider, extractors=None)
    assert [other.id for other in others] == (provider.fallback_model_providers or [])


def test_a_provider_that_is_not_listed_is_none() -> None:
    assert PackedPrices([]).unpacked("openai") == []
    assert "openai" not in PackedPrices([])


def test_only_the_models_that_were_asked_for_stay_in_memory() -> None:
    done = subprocess.run([sys.executable, "-c", _UNPACKED], capture_output=True, text=True, timeout=60, check=True)

    assert done.stdout.split() == ["2", "False"]


def test_a_list_of_resources_is_unpacked_once(monkeypatch: pytest.MonkeyPatch) -> None:
    unpacked: list[str] = []
    unpack = PackedPrices.unpacked

    def counting(self: PackedPrices, provider_id: str) -> list[Provider]:
        unpacked.append(provider_id)
        return unpack(self, provider_id)

    monkeypatch.setattr(PackedPrices, "unpacked", counting)
    catalogue = Catalogue(built_in())

    assert catalogue.find("system.azureopenai", "") is None
    listed = catalogue.resources("system.azureopenai")
    assert len(listed) > 1
    assert catalogue.resources("system.azureopenai") == listed
    assert all(catalogue.find("system.azureopenai", name) is model for name, model in listed.items())
    assert unpacked == ["azure", "azure"]


@pytest.mark.usefixtures("updated")
def test_estimates_follow_the_prices_that_the_app_keeps_up_to_date() -> None:
    rates = listed_rates(("system.openai", "gpt-4o-mini"))

    assert rates is not None
    assert rates.of("text", 0) == Decimal(7) / 1_000_000
    assert rates.of("text", 1) == Decimal(11) / 1_000_000
