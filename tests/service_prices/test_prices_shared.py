"""Prices that several users of a database change and charge by at the same time, and databases of earlier versions."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from decimal import Decimal
from threading import Event

from sqlalchemy import Connection, text

from payi_middleware.service.ledger import Ledger
from payi_middleware.service.prices import own
from payi_middleware.service.prices.own import NewResource, Pair
from payi_middleware.service.store.engine import Store

START = datetime(2026, 1, 1, tzinfo=UTC)
CHANGES = 20


def create(ledger: Ledger, usd: int) -> None:
    new = NewResource(pair=Pair("acme", "llama"), units={"text": (Decimal(usd), None)}, start=START)
    ledger.write(own.create, new, datetime.now(UTC))


def charge(ledger: Ledger) -> int:
    result = ledger.ingest({"category": "acme", "resource": "llama", "units": {"text": 1}, "limit_ids": ["l"]})
    return int(result["xproxy_result"]["cost"]["total"]["base"])


def test_no_event_is_priced_by_what_was_changed_before_it_was_sent_and_the_limit_has_the_sum_of_all(
    ledger: Ledger, database: str
) -> None:
    ledger.create_limit(limit_name="l", limit_id="l", max=1_000_000)
    create(ledger, 1)
    in_force = 1
    done = Event()
    charged: list[int] = []

    def charge_all(own_ledger: Ledger) -> None:
        while not done.is_set():
            at_least = in_force
            cost = charge(own_ledger)
            charged.append(cost)
            assert cost >= at_least

    with Ledger(database) as one, Ledger(database) as other, ThreadPoolExecutor(3) as pool:
        charging = [pool.submit(charge_all, each) for each in (ledger, one, other)]
        try:
            for usd in range(2, CHANGES + 1):
                create(other, usd)
                in_force = usd
        finally:
            done.set()
        for each in charging:
            each.result(60)
        charged.extend(charge(each) for each in (ledger, one, other))
    assert charged[-3:] == [CHANGES] * 3
    assert ledger.limit("l")["totals"]["cost"]["total"]["base"] == sum(charged)


def _as_revision_two(connection: Connection) -> None:
    for table in ("payi_price_revisions", "payi_unpriced"):
        connection.execute(text(f"DROP TABLE {table}"))
    connection.execute(text("DELETE FROM payi_catalogues"))
    connection.execute(text("UPDATE payi_migrations SET version_num = '0002'"))


def test_a_database_from_before_there_were_prices_of_ones_own_gets_what_they_need(database: str) -> None:
    with Ledger(database) as ledger:
        ledger.ingest({"category": "acme", "resource": "llama", "units": {"text": 1}})
    store = Store(database)
    store.write(_as_revision_two)
    store.close()
    with Ledger(database) as ledger:
        create(ledger, 3)
        ledger.create_limit(limit_name="l", limit_id="l", max=10)
        assert charge(ledger) == 3
        assert ledger.unpriced() == []
