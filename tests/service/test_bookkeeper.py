"""Adding up in the background, of several applications."""

from __future__ import annotations

import pytest
from sqlalchemy import Connection, update

from payi_middleware.service.bookkeeper import Bookkeeper
from payi_middleware.service.ledger import Ledger
from payi_middleware.service.store.schema import requests
from tests.waiting import until

CALL = {"category": "system.openai", "resource": "gpt-4o-mini", "units": {"text": {"input": 1}}}


def damage(connection: Connection, application_id: int) -> None:
    """Make what an application has booked such that it cannot be added up."""
    own = update(requests).where(requests.c.application_id == application_id)
    connection.execute(own.values(unknown_units={"text": "none"}))


def application(ledger: Ledger, name: str) -> Ledger:
    """Make an application."""
    holder = ledger.key_holder(ledger.create_key(name, name))
    assert holder is not None
    return ledger.of(holder)


def test_what_cannot_be_added_up_of_one_application_keeps_no_other_waiting(
    ledger: Ledger, caplog: pytest.LogCaptureFixture
) -> None:
    first, second = (application(ledger, name) for name in ("first", "second"))
    for each in (first, second):
        each.ingest(CALL)
    first.write(damage)
    bookkeeper = Bookkeeper(ledger)
    bookkeeper.start()
    until(lambda: list(ledger.unfolded_by_application()) == [first.application_id])
    until(lambda: caplog.records)
    bookkeeper.close()
    assert "while adding up" in caplog.text
