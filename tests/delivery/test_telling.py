"""Telling calls what became of their reports."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

from payi_middleware.delivery.senders import Senders
from payi_middleware.delivery.sinks import Outcome, Sink
from payi_middleware.delivery.work import Done, Job, Pending
from payi_middleware.providers import Match
from payi_middleware.report import Item, Report
from payi_middleware.results import XproxyResult
from tests.journal.exchanges import recorded
from tests.waiting import until


class Telling:
    """A sink that accepts all, since what is tested comes after it."""

    takes_items = False

    def send_many(self, items: Sequence[Item], *, results: bool = True) -> list[Outcome]:
        return [XproxyResult(request_id=f"req_{number}") for number in range(len(items))]


def pending(number: int) -> Pending:
    exchange = recorded(Match("openai.chat", "system.openai", "openai"), b"{}", b"{}")
    assert exchange is not None
    return Pending(number, exchange, Report({"category": "c", "provider_response_id": str(number)}), True, 1, 0.0)


def test_a_call_that_cannot_be_told_keeps_nothing_from_those_behind_it() -> None:
    def fail() -> None:
        raise RuntimeError("no")

    job, done = Job([pending(1), pending(2)]), list[Any]()
    calls = [one.exchange.call for one in job.pending]
    calls[0].on_settled(fail)
    senders = Senders(lambda: cast("Sink", Telling()), done.append, 1)
    senders.do(job)
    until(lambda: done)
    senders.stop()
    assert [call.result and call.result.request_id for call in calls] == ["req_0", "req_1"]
    assert isinstance(done[0], Done)
