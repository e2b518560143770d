"""What waits to be sent, and what of it is elsewhere."""

from __future__ import annotations

from time import monotonic, time

import pytest

from payi_middleware.delivery.stats import Stats
from payi_middleware.delivery.stock import Stock
from payi_middleware.delivery.work import Pending
from payi_middleware.providers import Asked, Match
from payi_middleware.report import Report
from tests.journal.exchanges import recorded


@pytest.mark.parametrize(
    ("ended", "made", "waited"),
    [(0, 0, False), (60, 0, True), (60, 60, True), (-3600, 0, False), (-3600, 60, True)],
    ids=["just now", "read late", "long ago", "the clock was set back", "the clock was set back long ago"],
)
def test_a_report_has_waited_since_its_call_ended(ended: float, made: float, waited: bool) -> None:
    exchange = recorded(Match("openai.chat", "system.openai", "openai"), b"{}", b"{}")
    assert exchange is not None
    pending = Pending(1, exchange, Report({}), False, 0, recorded=time() - ended, since=monotonic() - made)

    assert pending.has_waited(30) is waited


def test_what_is_on_record_in_a_journal_that_was_closed_is_kept_there_and_its_call_is_told() -> None:
    exchange = recorded(Match("openai.chat", "system.openai", "openai"), b"{}", b"{}")
    assert exchange is not None
    call, exchange.ticket, exchange.asked = exchange.call, 1, Asked()
    exchange.wait_lightly(on_record=True)
    stats = Stats()
    stock = Stock(None, lambda record: None, stats, queue_size=1, queue_bytes=1)

    assert exchange.is_left_to_record
    assert not stock.look_at(exchange)
    assert "kept for the next process" in str(call.error)
    assert (stock.told, stock.reading, stats.dropped) == ((1, 0), None, 0)
