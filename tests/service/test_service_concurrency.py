"""Many writers: threads of one process, and processes that share the database."""

from __future__ import annotations

import random
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal
from threading import Barrier
from typing import Any

import pytest
from sqlalchemy import Connection, func, select

from payi_middleware.service.accounts import rollups
from payi_middleware.service.errors import LedgerError
from payi_middleware.service.ledger import Ledger
from payi_middleware.service.store import schema
from payi_middleware.service.store.money import join
from payi_middleware.service.store.writing import insert_all

from .databases import end_backend, postgresql_url

CALL = {"category": "system.openai", "resource": "gpt-4o-mini", "units": {"text": {"input": 7, "output": 3}}}
COST = Decimal("0.00000285")

# Processes started anew, as a second web server would be: they share nothing but the database.
WRITER = """
import sys
from payi_middleware.service.ledger import Ledger
database, name, count = sys.argv[1], sys.argv[2], int(sys.argv[3])
call = {"category": "system.openai", "resource": "gpt-4o-mini", "units": {"text": {"input": 7, "output": 3}}}
with Ledger(database) as ledger:
    ledger.create_limit(limit_name="one", max=1, limit_id="one")
    print("ready", flush=True)
    sys.stdin.readline()
    for index in range(count):
        ledger.ingest({**call, "user_id": name, "limit_ids": ["one"], "use_case_name": "u", "use_case_id": "1"})
        ledger.ingest({**call, "provider_response_id": f"shared-{index}", "limit_ids": ["one"]})
"""


def writer(database: str, name: str, count: int) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", WRITER, database, name, str(count)]
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


def test_processes_that_open_and_fill_one_new_database_at_once_add_up_exactly(database: str) -> None:
    count = 60
    processes = [writer(database, name, count) for name in ("a", "b", "c")]
    for process in processes:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
    for process in processes:
        assert process.stdin is not None
        process.stdin.write("go\n")
        process.stdin.flush()
    for process in processes:
        process.communicate(timeout=120)
    assert [process.returncode for process in processes] == [0, 0, 0]
    with Ledger(database) as ledger:
        totals = ledger.limit("one")["totals"]
        users = {row.user_id: (row.calls, row.cost) for row in ledger.usage_by_user()}
    assert totals["requests"]["total"] == 4 * count  # three of their own, and one that all of them delivered
    assert totals["cost"]["total"]["base"] == 4 * count * COST
    assert users == dict.fromkeys(("a", "b", "c", None), (count, count * COST))


def test_threads_add_up_exactly(ledger: Ledger) -> None:
    ledger.create_limit(limit_name="one", max=1, limit_id="one")
    start = Barrier(8)

    def run(name: str) -> None:
        start.wait()
        for _ in range(25):
            ledger.ingest({**CALL, "user_id": name, "limit_ids": ["one"]})

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(run, [f"user{index}" for index in range(8)]))
    assert ledger.limit("one")["totals"]["cost"]["total"]["base"] == 200 * COST
    assert {row.calls for row in ledger.usage_by_user()} == {25}


def test_a_response_delivered_a_hundred_times_at_once_is_charged_once(ledger: Ledger) -> None:
    ledger.create_limit(limit_name="one", max=1, limit_id="one")
    start = Barrier(20)

    def run(_: int) -> list[dict[str, Any]]:
        start.wait()
        item = {**CALL, "provider_response_id": "resp_1", "limit_ids": ["one"]}
        return [ledger.ingest(item)["xproxy_result"] for _ in range(5)]

    with ThreadPoolExecutor(20) as pool:
        results = [result for answers in pool.map(run, range(20)) for result in answers]
    assert len(results) == 100
    assert len({result["request_id"] for result in results}) == 1
    assert sum("duplicate_request" not in result for result in results) == 1
    assert {result["cost"]["total"]["base"] for result in results} == {COST}
    assert ledger.limit("one")["totals"]["cost"]["total"]["base"] == COST


def test_readers_go_on_while_others_write(ledger: Ledger) -> None:
    start = Barrier(40)

    def read(_: int) -> bool:
        start.wait()
        return all(row.cost == row.calls * COST for _ in range(5) for row in ledger.usage_by_user())

    def write(index: int) -> bool:
        start.wait()
        return bool(ledger.ingest({**CALL, "user_id": str(index)}))

    with ThreadPoolExecutor(40) as pool:
        done = [pool.submit(read if index % 2 else write, index) for index in range(40)]
        assert all(future.result() for future in done)
    assert len(ledger.requests()) == 20


# It says how many bulks were booked, and goes on until it is killed.
TURNS = 5
FILLER = """
import sys
from payi_middleware.service.ledger import Ledger
from payi_middleware.service.accounts import rollups
call = {"category": "system.openai", "resource": "gpt-4o-mini", "units": {"text": {"input": 7, "output": 3}}}
with Ledger(sys.argv[1]) as ledger:
    ledger.create_limit(limit_name="one", max=1, limit_id="one")
    for number in range(10_000):
        items = [
            {**call, "user_id": str(index), "limit_ids": ["one"], "use_case_name": "u", "use_case_id": f"{number % 5}",
             "use_case_properties": {"n": f"{number}"}, "provider_response_id": f"{sys.argv[2]}-{number}-{index}"}
            for index in range(20)
        ]
        assert ledger.ingest_bulk(items)["error_count"] == 0
        print(number, flush=True)
        if number % 3 == 0:
            ledger.write(rollups.fold)
"""


def test_processes_killed_while_they_write_leave_books_that_agree(database: str) -> None:
    dice = random.Random()
    for turn in range(TURNS):
        command = [sys.executable, "-c", FILLER, database, str(turn)]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout is not None
            for _ in range(dice.randrange(1, 30)):
                assert process.stdout.readline()
            process.kill()
            process.wait(60)
    with Ledger(database) as ledger:
        while ledger.write(rollups.fold):
            pass
        totals = ledger.limit("one")["totals"]
        booked = ledger.requests(limit=100_000)
        assert len(booked) % 20 == 0
        assert len(booked) >= 20 * TURNS
        assert totals["requests"]["total"] == len(booked)
        assert totals["cost"]["total"]["base"] == len(booked) * COST
        assert len({record.provider_response_id for record in booked}) == len(booked)
        summed = ledger.read(_summed)
        assert summed == (len(booked), sum((record.cost for record in booked), Decimal(0)))


def _summed(connection: Connection, application_id: int) -> tuple[int, Decimal]:
    columns = schema.rollups.c
    row = connection.execute(
        select(
            func.sum(columns.requests),
            func.sum(columns.input_cost_micros + columns.output_cost_micros),
            func.sum(columns.input_cost_rest + columns.output_cost_rest),
        ).where(columns.application_id == application_id, columns.kind == int(rollups.Rollup.TOTAL))
    ).one()
    return int(row[0]), join(int(row[1]), int(row[2]))


def test_what_the_database_refuses_while_many_rows_are_written_is_a_ledger_error_and_changes_nothing() -> None:
    row = {"application_id": 1, "batch": 1, "requests": 1}

    def twice(connection: Connection, _application_id: int) -> None:
        insert_all(connection, schema.batches, [{**row, "batch": 2}, {**row, "batch": 3}, {**row, "batch": 4}])
        insert_all(connection, schema.batches, [row, {**row, "requests": None}, {**row, "batch": 5}])

    with postgresql_url() as url, Ledger(url) as ledger:
        with pytest.raises(LedgerError, match="null value"):
            ledger.write(twice)
        assert ledger.unfolded() == 0


def test_a_connection_that_is_lost_while_many_rows_are_written_is_a_ledger_error_and_the_next_one_works() -> None:
    def lose(connection: Connection, application_id: int) -> None:
        end_backend(connection)
        row = {"application_id": application_id, "batch": 1, "requests": 1}
        insert_all(connection, schema.batches, [{**row, "batch": number} for number in range(10)])

    with postgresql_url() as url, Ledger(url) as ledger:
        with pytest.raises(LedgerError):
            ledger.write(lose)
        assert ledger.ingest_bulk([CALL] * 5)["ingest_count"] == 5
        assert ledger.unfolded() == 1
