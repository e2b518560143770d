"""Sums by hour, day and name: always those of the requests that were booked."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import Connection, select

from payi_middleware.service.accounts import rollups
from payi_middleware.service.accounts.rollups import BY_DAY, HOURS_KEPT, Extreme, Rollup
from payi_middleware.service.ledger import Ledger
from payi_middleware.service.store import clock, schema
from payi_middleware.service.store.names import Kind, key_of, pair, texts

Key = tuple[int, int, int, int]


def events(dice: random.Random, count: int, now: datetime) -> Iterator[dict[str, Any]]:
    for number in range(count):
        known = dice.random() < 0.9
        yield {
            "category": "system.openai",
            "resource": dice.choice(["gpt-4o-mini", "gpt-4o", "unheard-of"]),
            "units": {"text": {"input": dice.randrange(2000), "output": dice.randrange(500)}},
            "event_timestamp": (now - timedelta(minutes=dice.randrange(60 * 24 * 6))).isoformat(),
            "http_status_code": dice.choice([200, 200, 200, 500]),
            "end_to_end_latency_ms": dice.choice([None, 10 + number]),
            "user_id": f"user{dice.randrange(5)}" if known else None,
            "account_name": f"account{dice.randrange(2)}" if known else None,
            "use_case_name": dice.choice([None, "chat", "search"]),
            "use_case_id": str(dice.randrange(9)),
            "use_case_step": dice.choice([None, "plan", "do"]),
            "limit_ids": dice.choice([[], ["a"], ["a", "b"]]),
        }


def fold(ledger: Ledger) -> None:
    while ledger.write(rollups.fold):
        pass


def sums(ledger: Ledger) -> dict[Key, tuple[int, ...]]:
    def read(connection: Connection, application_id: int) -> dict[Key, tuple[int, ...]]:
        table = schema.rollups
        rows = connection.execute(select(table).where(table.c.application_id == application_id)).mappings()
        return {
            (row["kind"], row["bucket"], row["key1"], row["key2"]): tuple(int(row[name]) for name in rollups.SUMS)
            for row in rows
        }

    return ledger.read(read)


def expected(ledger: Ledger, now: datetime) -> dict[Key, tuple[int, ...]]:
    """Add up the stored requests in Python."""
    counted: dict[Key, Counter[str]] = {}

    def read(connection: Connection, application_id: int) -> list[dict[str, Any]]:
        own = schema.requests.c.application_id == application_id
        return [dict(row) for row in connection.execute(select(schema.requests).where(own)).mappings()]

    recent = clock.micros(now) // clock.HOUR - HOURS_KEPT
    for row in ledger.read(read):
        hour = row["event_timestamp"] // clock.HOUR
        for kind, key1, key2 in keys(row):
            by_hour = kind is Rollup.TOTAL or hour >= recent
            place = (int(kind), hour, key1, key2) if by_hour else (kind + BY_DAY, hour - hour % 24, key1, key2)
            counted.setdefault(place, Counter()).update(
                {
                    **{name: int(row[name]) for name in rollups.SUMS if name in row},
                    "requests": 1,
                    "latency_ms": row["end_to_end_latency_ms"] or 0,
                    "timed": row["end_to_end_latency_ms"] is not None,
                }
            )
    return {place: tuple(counts[name] for name in rollups.SUMS) for place, counts in counted.items()}


def keys(row: dict[str, Any]) -> Iterator[tuple[Rollup, int, int]]:
    user, account, use_case, resource = (row[f"{name}_key"] for name in ("user", "account", "use_case", "resource"))
    yield Rollup.TOTAL, 0, 0
    singles = {Rollup.USER: user, Rollup.ACCOUNT: account, Rollup.USE_CASE: use_case, Rollup.RESOURCE: resource}
    yield from ((kind, key, 0) for kind, key in singles.items())
    yield Rollup.USER_ACCOUNT, user, account
    yield Rollup.USER_USE_CASE, user, use_case
    yield Rollup.USER_RESOURCE, user, resource
    yield Rollup.ACCOUNT_USE_CASE, account, use_case
    yield Rollup.ACCOUNT_RESOURCE, account, resource
    yield Rollup.USE_CASE_RESOURCE, use_case, resource
    if use_case:
        yield Rollup.USE_CASE_STEP, use_case, row["step_key"]
        yield Rollup.USE_CASE_INSTANCE, use_case, row["instance_key"]
    for limit_id in row["limits"] or ():
        yield Rollup.LIMIT, key_of(Kind.LIMIT, limit_id), 0
        yield Rollup.LIMIT_USER, key_of(Kind.LIMIT, limit_id), user


@pytest.fixture
def booked(ledger: Ledger) -> Ledger:
    for limit_id in ("a", "b"):
        ledger.create_limit(limit_name=limit_id, max=1, limit_id=limit_id)
    return ledger


def test_sums_are_those_of_the_requests_however_they_came_in(booked: Ledger) -> None:
    dice, now = random.Random(7), clock.now()
    for _ in range(4):
        assert booked.ingest_bulk(list(events(dice, 100, now)))["error_count"] == 0
        for item in events(dice, 5, now):
            booked.ingest(item)
        fold(booked)
    assert sums(booked) == expected(booked, now)


def test_nothing_is_added_twice_by_threads_that_add_up_at_once(booked: Ledger) -> None:
    dice, now = random.Random(8), clock.now()
    for item in events(dice, 60, now):
        booked.ingest(item)
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda _: [booked.write(rollups.fold) for _ in range(5)], range(4)))
    fold(booked)
    assert sums(booked) == expected(booked, now)


def test_hours_become_days_when_they_are_long_over_and_late_events_join_them(
    booked: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    dice, now = random.Random(9), clock.now()
    booked.ingest_bulk(list(events(dice, 200, now)))
    fold(booked)
    before = {place for place in sums(booked) if place[0] not in (0, BY_DAY)}
    later = now + timedelta(days=4)
    monkeypatch.setattr(clock, "now", lambda: later)
    booked.ingest_bulk(list(events(dice, 50, now)))
    fold(booked)
    booked.write(rollups.compact)
    after = sums(booked)
    day = (clock.micros(later) // clock.HOUR - HOURS_KEPT) // 24 * 24
    assert [place for place in after if 0 < place[0] < BY_DAY and place[1] < day] == []
    assert len([place for place in after if place[0] != 0]) < len(before)
    assert _by_kind(after) == _by_kind(expected(booked, later))


def _by_kind(told: dict[Key, tuple[int, ...]]) -> dict[tuple[int, int, int], tuple[int, ...]]:
    """Add the hours and days of each name up."""
    added: dict[tuple[int, int, int], tuple[int, ...]] = {}
    for (kind, _, key1, key2), values in told.items():
        place = (kind % BY_DAY, key1, key2)
        added[place] = tuple(map(sum, zip(values, added.get(place, (0,) * len(values)), strict=True)))
    return added


def test_the_dearest_and_the_slowest_of_each_day_are_kept(booked: Ledger) -> None:
    dice, now = random.Random(10), clock.now()
    for _ in range(5):
        booked.ingest_bulk(list(events(dice, 300, now)))
        fold(booked)

    def read(connection: Connection, application_id: int) -> None:
        table, columns = schema.extremes, schema.requests.c
        for kind, value in (
            (Extreme.COST, columns.input_cost_micros + columns.output_cost_micros),
            (Extreme.LATENCY, columns.end_to_end_latency_ms),
        ):
            query = select(columns.event_timestamp, value.label("value")).where(
                columns.application_id == application_id
            )
            by_day: dict[int, list[int]] = {}
            for row in connection.execute(query):
                if row.value:
                    by_day.setdefault(row.event_timestamp // clock.DAY, []).append(row.value)
            for day, values in by_day.items():
                own = table.c.application_id == application_id, table.c.kind == int(kind), table.c.day == day
                kept = sorted(connection.scalars(select(table.c.value).where(*own)), reverse=True)
                assert kept[:50] == sorted(values, reverse=True)[:50]
                assert len(kept) < 60

    booked.read(read)


def test_names_can_be_read_back_by_their_keys(booked: Ledger) -> None:
    long = "ü" * 3000
    item = {"category": "system.openai", "units": {}, "user_id": long, "use_case_name": "chat", "use_case_id": "7"}
    for _ in range(2):
        booked.ingest({**item, "limit_ids": ["a"]})
    keys_by_kind = {
        Kind.USER: long,
        Kind.USE_CASE: "chat",
        Kind.INSTANCE: pair("chat", "7"),
        Kind.LIMIT: "a",
        Kind.RESOURCE: pair("system.openai", None),
    }
    for kind, value in keys_by_kind.items():
        key = key_of(kind, value)
        assert booked.read(texts, kind, [key, 1]) == {key: value}
    assert key_of(Kind.USER, "a") != key_of(Kind.ACCOUNT, "a")
    assert key_of(Kind.USER, None) == key_of(Kind.USER, "") == 0
