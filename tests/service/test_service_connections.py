"""Connections to PostgreSQL: how often answers are waited for, and what becomes of those that are lost."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from sqlalchemy import Connection

from payi_middleware.service.accounts import admission
from payi_middleware.service.errors import LedgerError
from payi_middleware.service.ledger import Ledger

from .databases import end_backend, postgresql_url
from .relay import Relay, relayed

CALL = {"category": "system.openai", "resource": "gpt-4o-mini", "units": {"text": 1_000}, "user_id": "alice"}
LIMITED = {**CALL, "limit_ids": ["one"], "use_case_name": "support", "use_case_id": "7"}
_PREPARED = 8
"""The driver has the server prepare a statement that it has seen five times."""


@pytest.fixture
def relay_and_ledger() -> Iterator[tuple[Relay, Ledger]]:
    with postgresql_url() as url, relayed(url) as (relay_url, relay), Ledger(relay_url) as ledger:
        ledger.create_limit(limit_name="one", max=1, limit_id="one", limit_type="block")
        yield relay, ledger


def asked(relay: Relay, call: Callable[[], Any]) -> list[bytes]:
    """Return what is said to the server until it is to answer, each time, once it has prepared all statements."""
    for _ in range(_PREPARED):
        call()
    relay.asked.clear()
    call()
    return relay.asked


@pytest.mark.parametrize("call", [CALL, LIMITED], ids=["plain", "with a limit and a use case"])
def test_a_booking_waits_for_postgresql_four_times_to_begin_to_read_to_write_and_to_commit(
    relay_and_ledger: tuple[Relay, Ledger], call: dict[str, Any]
) -> None:
    relay, ledger = relay_and_ledger
    numbers = iter(range(100))
    begins, _reads, _writes, commits = asked(
        relay, lambda: ledger.ingest({**call, "provider_response_id": str(next(numbers))})
    )
    assert b"BEGIN" in begins
    assert b"COMMIT" in commits


def test_whether_a_call_may_be_made_is_asked_once(relay_and_ledger: tuple[Relay, Ledger]) -> None:
    relay, ledger = relay_and_ledger
    ledger.ingest(LIMITED)
    assert len(asked(relay, lambda: ledger.read(admission.refusing, ["one"], "support", "7"))) == 1


def end_all(ledger: Ledger) -> None:
    """Have the server end all connections of a ledger, as it does when it is started anew."""
    held = [ledger._store._engine.connect() for _ in range(3)]
    for connection in held:
        end_backend(connection)
    for connection in held:
        connection.close()


def test_what_is_read_and_written_after_the_server_ended_all_connections_is_not_refused() -> None:
    with postgresql_url() as url, Ledger(url) as ledger:
        ledger.ingest(CALL)
        end_all(ledger)
        assert len(ledger.requests()) == 1
        end_all(ledger)
        ledger.ingest(CALL)
        assert len(ledger.requests()) == 2


def test_a_request_whose_connection_is_lost_while_it_is_booked_is_booked_once() -> None:
    with postgresql_url() as url, Ledger(url) as ledger:
        attempts = []

        def book(connection: Connection, application_id: int) -> None:
            attempts.append(application_id)
            row = f"INSERT INTO payi_batches (application_id, batch, requests) VALUES ({application_id}, 1, 1)"
            connection.exec_driver_sql(row)
            if len(attempts) == 1:
                end_backend(connection)
            connection.exec_driver_sql("SELECT 1")

        ledger.write(book)
        assert len(attempts) == 2
        assert ledger.unfolded() == 1


def test_a_request_whose_connection_is_lost_as_it_is_committed_is_not_booked_again_and_told_of(
    relay_and_ledger: tuple[Relay, Ledger],
) -> None:
    relay, ledger = relay_and_ledger
    ledger.ingest(CALL)
    relay.cut_at = b"COMMIT"
    attempts = []
    with pytest.raises(LedgerError) as caught:
        ledger.write(lambda connection, _: attempts.append(connection.exec_driver_sql("SELECT 1").scalar()))
    relay.cut_at = None
    assert caught.value.unsure
    assert attempts == [1]
    ledger.ingest(CALL)
    assert len(ledger.requests()) == 2


def test_a_connection_that_is_lost_each_time_is_a_ledger_error_and_the_next_one_works() -> None:
    attempts = []

    def lose(connection: Connection, _application_id: int) -> None:
        attempts.append(connection)
        end_backend(connection)
        connection.exec_driver_sql("SELECT 1")

    with postgresql_url() as url, Ledger(url) as ledger:
        with pytest.raises(
            LedgerError, match=r"terminating connection.*Make sure that PostgreSQL runs there"
        ) as caught:
            ledger.write(lose)
        assert not caught.value.unsure
        assert len(attempts) == 2
        ledger.ingest(CALL)
