"""What comes in at the same time is booked together, and each gets its own answer."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from decimal import Decimal
from typing import Any

import anyio
import pytest

from payi_middleware.service.accounts.booking import Booked, Outcome
from payi_middleware.service.accounts.events import Event, parse_event
from payi_middleware.service.clerk import Clerk
from payi_middleware.service.errors import LedgerError, ServiceError
from payi_middleware.service.ledger import Ledger
from payi_middleware.service.store import clock

CALL = {"category": "system.openai", "resource": "gpt-4o-mini", "units": {"text": {"input": 7, "output": 3}}}
COST = Decimal("0.00000285")


def event(**changes: Any) -> Event:
    return parse_event({**CALL, **changes}, clock.now())


def held(ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> tuple[list[int], threading.Event]:
    """Have the first transaction wait for an event, and count the requests of each."""
    written: list[int] = []
    may_go_on = threading.Event()
    book = ledger.book_of

    def book_of(slips: Sequence[tuple[int, Sequence[Event]]]) -> list[list[Outcome]]:
        written.append(sum(len(events) for _, events in slips))
        assert may_go_on.wait(30)
        return book(slips)

    monkeypatch.setattr(ledger, "book_of", book_of)
    return written, may_go_on


def errors_of(clerk: Clerk, ledger: Ledger, *user_ids: str) -> dict[str, Exception]:
    """Have a request of each user booked at once, close the clerk, and return what was raised, by user."""
    failed: dict[str, Exception] = {}

    async def one(user_id: str) -> None:
        try:
            await clerk.book(ledger.application_id, [event(user_id=user_id)])
        except Exception as error:  # noqa: BLE001 - told
            failed[user_id] = error

    async def run() -> None:
        async with anyio.create_task_group() as tasks:
            for user_id in user_ids:
                tasks.start_soon(one, user_id)

    anyio.run(run)
    clerk.close()
    return failed


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_requests_that_wait_are_written_in_one_transaction(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch, backend: str
) -> None:
    ledger.create_limit(limit_name="one", max=1, limit_id="one")
    other = ledger.of(ledger.application_id + 1)
    written, may_go_on = held(ledger, monkeypatch)
    clerk = Clerk(ledger)
    booked: list[list[Outcome]] = []

    async def book(application_id: int, *events: Event) -> None:
        booked.append(await clerk.book(application_id, events))

    async def run() -> None:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(book, ledger.application_id, event(user_id="first"))
            while not written:
                await anyio.sleep(0.001)
            for number in range(20):
                tasks.start_soon(book, ledger.application_id, event(user_id=str(number), limit_ids=["one"]))
            tasks.start_soon(book, other.application_id, event(user_id="other"), event(user_id="another"))
            while clerk._slips.qsize() < 21:
                await anyio.sleep(0.001)
            may_go_on.set()

    anyio.run(run, backend=backend)
    clerk.close()
    assert written == [1, 22]
    assert ledger.limit("one")["totals"]["cost"]["total"]["base"] == 20 * COST
    assert sorted(len(outcomes) for outcomes in booked) == [1] * 21 + [2]
    assert len(ledger.requests()) == 21
    assert {record.user_id for record in other.requests()} == {"other", "another"}


def test_a_refusal_is_its_own_requests_alone(ledger: Ledger) -> None:
    clerk = Clerk(ledger)

    async def run() -> list[Outcome]:
        return await clerk.book(ledger.application_id, [event(), event(limit_ids=["nowhere"]), event()])

    first, refused, last = anyio.run(run)
    clerk.close()
    assert isinstance(first, Booked)
    assert isinstance(last, Booked)
    assert isinstance(refused, ServiceError)
    assert (refused.status, refused.code) == (400, "invalid_limit_ids")


def test_what_breaks_one_booking_does_not_break_those_that_came_with_it(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    clerk = Clerk(ledger)
    book = ledger.book_of

    def book_of(slips: Sequence[tuple[int, Sequence[Event]]]) -> list[list[Outcome]]:
        if any(one.user_id == "poison" for _, events in slips for one in events):
            raise ZeroDivisionError
        return book(slips)

    monkeypatch.setattr(ledger, "book_of", book_of)
    failed = errors_of(clerk, ledger, "a", "poison", "b")
    assert {user_id: type(error) for user_id, error in failed.items()} == {"poison": ZeroDivisionError}
    assert {record.user_id for record in ledger.requests()} == {"a", "b"}


def test_nothing_is_booked_again_where_it_is_not_known_whether_it_was_committed(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    clerk = Clerk(ledger)
    book, transactions = ledger.book_of, []

    def book_of(slips: Sequence[tuple[int, Sequence[Event]]]) -> list[list[Outcome]]:
        transactions.append(len(slips))
        while transactions == [1] and clerk.waiting < 2:  # the others come together then
            time.sleep(0.001)
        book(slips)
        raise LedgerError("this", "lost the connection", "Look after it.", unsure=True)

    monkeypatch.setattr(ledger, "book_of", book_of)
    failed = errors_of(clerk, ledger, "a", "b", "c")
    assert {user_id: getattr(error, "unsure", None) for user_id, error in failed.items()} == dict.fromkeys("abc", True)
    assert max(transactions) > 1
    assert sum(transactions) == len(ledger.requests()) == 3


def test_a_clerk_that_is_closed_has_booked_all_and_takes_no_more(ledger: Ledger) -> None:
    clerk = Clerk(ledger)

    async def run() -> None:
        async with anyio.create_task_group() as tasks:
            for number in range(50):
                tasks.start_soon(clerk.book, ledger.application_id, [event(user_id=str(number))])
            await anyio.lowlevel.checkpoint()
            clerk.close()
            with pytest.raises(LedgerError, match="closed"):
                await clerk.book(ledger.application_id, [event()])

    anyio.run(run)
    assert len(ledger.requests()) == 50


def test_many_more_than_one_transaction_takes_are_all_booked(ledger: Ledger) -> None:
    clerk = Clerk(ledger)

    async def run() -> None:
        async with anyio.create_task_group() as tasks:
            for _ in range(7):
                tasks.start_soon(clerk.book, ledger.application_id, [event() for _ in range(400)])
            tasks.start_soon(clerk.book, ledger.application_id, [event() for _ in range(1500)])

    anyio.run(run)
    clerk.close()
    assert len(ledger.requests(limit=10_000)) == 4300


def test_requests_that_come_soon_after_a_transaction_are_given_a_moment_to_gather(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("payi_middleware.service.clerk._SOON", 60.0)
    written, may_go_on = held(ledger, monkeypatch)
    may_go_on.set()
    clerk = Clerk(ledger)
    moments: list[float] = []

    def another_comes(moment: float) -> None:
        moments.append(moment)
        clerk.leave(ledger.application_id, [event()])

    monkeypatch.setattr("payi_middleware.service.clerk.time.sleep", another_comes)

    async def run() -> None:
        await clerk.book(ledger.application_id, [event()])
        await clerk.book(ledger.application_id, [event()])
        assert moments == []  # whoever comes alone would wait for nobody
        clerk._answered = 16
        await clerk.book(ledger.application_id, [event()])

    anyio.run(run)
    clerk.close()
    assert written == [1, 1, 2]
    assert len(moments) == 1
    assert 0 < moments[0] <= 0.015


def test_the_moment_for_gathering_is_as_long_as_the_quicker_transaction_took_and_shorter_for_fewer(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("payi_middleware.service.clerk._SOON", 60.0)
    clerk = Clerk(ledger)
    moments: list[float] = []
    monkeypatch.setattr("payi_middleware.service.clerk.time.sleep", moments.append)

    async def run() -> None:
        await clerk.book(ledger.application_id, [event()])
        clerk._answered = 16
        clerk._took_before, clerk._took = 0.25, 0.002
        await clerk.book(ledger.application_id, [event()])
        clerk._answered = 16
        clerk._took_before, clerk._took = 0.001, 0.25
        await clerk.book(ledger.application_id, [event()])

        clerk._answered = 4
        clerk._took_before, clerk._took = 0.008, 0.25
        await clerk.book(ledger.application_id, [event()])

    anyio.run(run)
    clerk.close()
    assert moments == [0.002, 0.001, 0.002]  # where four were answered, a quarter of it
