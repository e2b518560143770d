"""Editions of the catalogue: what is fetched at run time prices what happens from then on, and nothing before."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from payi import Payi

from payi_middleware.service.ledger import Ledger
from payi_middleware.service.prices import catalogue, editions
from payi_middleware.service.prices.price_list import Prices
from tests.service_prices import price_lists
from tests.service_prices.price_lists import NEW_MODEL


def ingest(ledger: Ledger, resource: str = "gpt-4o", at: datetime | None = None) -> dict[str, Any]:
    event: dict[str, Any] = {"category": "system.openai", "resource": resource, "units": {"text": {"input": 1_000_000}}}
    if at is not None:
        event["event_timestamp"] = at.isoformat()
    result: dict[str, Any] = ledger.ingest(event)["xproxy_result"]
    return result


def cost(result: dict[str, Any]) -> Decimal:
    total: Decimal = result["cost"]["total"]["base"]
    return total


def test_a_published_list_is_read_as_the_built_in_one_is() -> None:
    parsed, built_in = catalogue.parse(price_lists.built_in()), catalogue.built_in()
    assert parsed.categories == built_in.categories
    now = datetime(2026, 11, 20, 12, tzinfo=UTC)
    for category in built_in.categories:
        models, expected = parsed.resources(category), built_in.resources(category)
        assert models.keys() == expected.keys()
        for name, model in models.items():
            assert model.at(now).resource_id == expected[name].at(now).resource_id, (category, name)


def test_an_update_prices_what_happens_from_then_on_and_old_events_keep_the_old_price(ledger: Ledger) -> None:
    before = datetime.now(UTC)
    old = ingest(ledger)
    assert ledger.add_prices(price_lists.small(7)) is not None
    new = ingest(ledger)
    assert (cost(old), cost(new)) == (Decimal("2.5"), Decimal(7))
    late = ingest(ledger, at=before)
    assert (cost(late), late["resource_id"]) == (Decimal("2.5"), old["resource_id"])
    assert ledger.add_prices(price_lists.small(8)) is not None
    assert cost(ingest(ledger)) == 8
    assert cost(ingest(ledger, at=before)) == Decimal("2.5")


def test_a_model_that_only_a_newer_edition_knows_is_priced_by_it_however_old_the_event(ledger: Ledger) -> None:
    assert "no price is known" in ingest(ledger, NEW_MODEL)["warnings"][0]
    ledger.add_prices(price_lists.small(7))
    ledger.add_prices(price_lists.small(9))
    assert cost(ingest(ledger, NEW_MODEL, datetime(2026, 1, 1, tzinfo=UTC))) == 7
    assert cost(ingest(ledger, NEW_MODEL)) == 9


def test_a_model_that_an_update_left_out_keeps_its_built_in_price(ledger: Ledger) -> None:
    ledger.add_prices(price_lists.small(7))
    assert cost(ingest(ledger, "gpt-4.1")) == 2
    ledger.ingest({"category": "system.anthropic", "resource": "claude-opus-4-6", "units": {"text": 1}})
    assert ledger.requests(limit=1)[0].cost == Decimal("0.000005")


def test_the_same_list_again_is_no_new_edition_and_an_older_one_that_comes_back_is(ledger: Ledger) -> None:
    assert ledger.add_prices(price_lists.small(7)) is not None
    assert ledger.add_prices(price_lists.small(7)) is None
    assert ledger.add_prices(price_lists.small(8)) is not None
    assert ledger.add_prices(price_lists.small(7)) is not None
    assert cost(ingest(ledger)) == 7


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"no JSON",
        b"{}",
        b"[]",
        b'[{"id": "openai"}]',
        b'[{"models": [{"id": 1}]}]',
        b'["x"]',
        b'[{"models": [1]}, "x"]',
        b"[" * 100_000,
    ],
)
def test_what_is_no_price_list_is_refused_and_changes_nothing(sqlite: Ledger, data: bytes) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 - whatever the reason is
        sqlite.add_prices(data)
    assert cost(ingest(sqlite)) == Decimal("2.5")


def test_a_newer_genai_prices_prices_from_when_it_is_first_used(database: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with Ledger(database) as ledger:
        ledger.add_prices(price_lists.small(7))
        fetched = datetime.now(UTC)
        assert cost(ingest(ledger)) == 7
    monkeypatch.setattr(editions, "_built_in_id", lambda: "genai-prices 99.0")
    with Ledger(database) as ledger:
        assert cost(ingest(ledger)) == Decimal("2.5")
        assert cost(ingest(ledger, at=fetched)) == 7
        # The version that was there before is not installed any more.
        assert cost(ingest(ledger, at=fetched - timedelta(days=1))) == 7
    with Ledger(database) as ledger:
        assert cost(ingest(ledger)) == Decimal("2.5")


def test_a_running_service_picks_up_an_update_of_another_process(client: Payi, ledger: Ledger, database: str) -> None:
    def charged(resource: str) -> Any:
        told = client.ingest.units(category="system.openai", resource=resource, units={"text": {"input": 1_000_000}})
        assert told.xproxy_result.cost is not None
        return told.xproxy_result.cost.total.base  # type: ignore[union-attr]

    assert (charged("gpt-4o"), charged(NEW_MODEL)) == (2.5, 0)
    with Ledger(database, application="other") as other:
        other.add_prices(price_lists.small(7))
    assert (charged("gpt-4o"), charged(NEW_MODEL)) == (7, 7)
    versions = client.categories.resources.list("gpt-4o", category="system.openai", sort_ascending=True).items
    assert [version.units["text"].input_price for version in versions][-1] == 0.000007
    assert versions[-1].active
    assert versions[-2].end_timestamp == versions[-1].start_timestamp
    assert client.categories.resources.list(NEW_MODEL, category="system.openai").items[0].active


def test_prices_are_read_again_only_after_a_change(sqlite: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    ingest(sqlite)
    reads: list[object] = []
    read = Prices._read

    def counted(*arguments: Any) -> Any:
        reads.append(arguments)
        return read(*arguments)

    monkeypatch.setattr(Prices, "_read", counted)
    for _ in range(3):
        ingest(sqlite)
    assert reads == []
    sqlite.add_prices(price_lists.small(7))
    for _ in range(3):
        ingest(sqlite)
    assert len(reads) == 1
