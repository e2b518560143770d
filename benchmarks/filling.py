"""A ledger with very many requests, made quickly: rows as `accounts.booking` writes them, inserted directly."""

from __future__ import annotations

import random
import time
from bisect import bisect
from collections.abc import Iterator
from itertools import accumulate
from typing import Any

from sqlalchemy import Connection, insert

from payi_middleware.service.accounts import limits, rollups
from payi_middleware.service.ledger import Ledger
from payi_middleware.service.store import clock, schema
from payi_middleware.service.store.money import Amount
from payi_middleware.service.store.names import Kind, key_of, pair
from payi_middleware.service.store.writing import Writes, insert_new

__all__ = ["DAYS", "fill", "fold"]

DAYS = 90
_AT_ONCE = 5_000
_USERS, _ACCOUNTS, _INSTANCES = 2_000, 40, 20_000
_CASES = {"support-chat": ("classify", "retrieve", "answer"), "search": ("embed", "rank"), "summaries": ("read",)}
_CASE_WEIGHTS = (5, 3, 2)
_MODELS = (
    ("system.openai", "gpt-4o-mini", 150, 600, 40),
    ("system.openai", "gpt-4o", 2_500, 10_000, 15),
    ("system.anthropic", "claude-sonnet-4-5", 3_000, 15_000, 20),
    ("system.anthropic", "claude-haiku-4-5", 1_000, 5_000, 10),
    ("system.google.vertex", "google.gemini-2.5-flash", 300, 2_500, 10),
    ("system.aws.bedrock", "amazon.nova-lite-v1:0", 60, 240, 4),
    ("internal", "in-house-llama", None, None, 1),
)
"""Category, resource, quanta * 10^6 for a token in and out (USD a billion tokens), weight."""
_LIMITS = ("team-budget", "evaluation")
_QUANTA = 1_000_000


class _Skewed:
    """Numbers from 0 up, the smaller the likelier, as with users: some ask very much, most ask little."""

    def __init__(self, count: int) -> None:
        self._sums = list(accumulate(1 / (number + 1) ** 0.9 for number in range(count)))

    def __call__(self, dice: random.Random) -> int:
        return bisect(self._sums, dice.random() * self._sums[-1])


def fill(ledger: Ledger, count: int, *, days: int = DAYS, seed: int = 7) -> None:
    """Insert requests of the last `days` days, with the names, instances, limits and marks that belong to them."""
    dice = random.Random(seed)
    for name in _LIMITS:
        ledger.create_limit(limit_id=name, limit_name=name.replace("-", " ").capitalize(), max=50_000, threshold=0.8)
    ledger.write(_write_names)
    now = clock.micros(clock.now())
    made = _requests(dice, ledger.application_id, count, now, days)
    batch = 0
    while rows := [row for _, row in zip(range(_AT_ONCE), made, strict=False)]:
        batch += 1
        ledger.write(_write_requests, rows, batch)


def fold(ledger: Ledger) -> float:
    """Add everything up, and return the seconds that took."""
    started = time.perf_counter()
    while ledger.write(rollups.fold):
        pass
    ledger.write(rollups.compact)
    return time.perf_counter() - started


def _write_names(connection: Connection, application_id: int) -> None:
    told = [(Kind.USER, f"user{number:04d}@example.com") for number in range(_USERS)]
    told += [(Kind.ACCOUNT, f"Account {number:02d}") for number in range(_ACCOUNTS)]
    told += [(Kind.RESOURCE, pair(category, resource)) for category, resource, *_ in _MODELS]
    told += [(Kind.LIMIT, name) for name in _LIMITS]
    now = clock.micros(clock.now())
    for case, steps in _CASES.items():
        told += [(Kind.USE_CASE, case), *((Kind.STEP, step) for step in steps)]
        told += [(Kind.INSTANCE, pair(case, f"{case}-{number}")) for number in range(_INSTANCES)]
        times = {"created_timestamp": now - DAYS * clock.DAY, "updated_timestamp": now}
        made = {"application_id": application_id, "use_case_name": case, "description": f"Everything that {case} does."}
        connection.execute(insert(schema.use_case_definitions), [{**made, **times}])
        connection.execute(
            insert(schema.use_case_instances),
            [
                {
                    "application_id": application_id,
                    "use_case_name": case,
                    "use_case_id": f"{case}-{number}",
                    "type_version": 1,
                    "limit_id": None,
                    "properties": None,
                    "created_timestamp": now - number * DAYS * clock.DAY // _INSTANCES,
                }
                for number in range(_INSTANCES)
            ],
        )
    rows = [
        {"application_id": application_id, "kind": kind, "key": key_of(kind, text), "value": text}
        for kind, text in told
    ]
    insert_new(connection, schema.names, rows)


def _requests(dice: random.Random, application_id: int, count: int, now: int, days: int) -> Iterator[dict[str, Any]]:
    user, case_names = _Skewed(_USERS), list(_CASES)
    weights = [model[-1] for model in _MODELS]
    for number in range(count):
        at = now - (count - number) * days * clock.DAY // count
        category, resource, price_in, price_out, _ = dice.choices(_MODELS, weights)[0]
        who = user(dice)
        case = dice.choices([*case_names, None], [*_CASE_WEIGHTS, 2])[0]
        instance = None if case is None else f"{case}-{dice.randrange(_INSTANCES)}"
        step = None if case is None else dice.choice(_CASES[case])
        account = None if who % 10 == 0 else f"Account {who % _ACCOUNTS:02d}"
        text = {"input": int(dice.lognormvariate(6.5, 1)), "output": int(dice.lognormvariate(5, 1))}
        failed = dice.random() < 0.02
        if failed:
            text = {}
        costs = [
            (text.get(side, 0) * (price or 0)) * _QUANTA for side, price in (("input", price_in), ("output", price_out))
        ]
        units = {} if failed else {"text": text}
        limits_of = {name: "failed" if failed else "ok" for name in _LIMITS if dice.random() < 0.3}
        (input_micros, input_rest), (output_micros, output_rest) = Amount.of(costs[0]), Amount.of(costs[1])
        yield {
            "application_id": application_id,
            "request_id": f"req_{number:030x}",
            "response_key": number.to_bytes(16),
            "category": category,
            "resource": resource,
            "resource_id": None if price_in is None else "836c0dfb-9e0c-5463-bab6-5bdf6a08df63",
            "provider_response_id": f"chatcmpl-{number:024x}",
            "event_timestamp": at,
            "ingest_timestamp": at,
            "http_status_code": dice.choice((429, 500, 529)) if failed else 200,
            "failed": failed,
            "blocked": False,
            "end_to_end_latency_ms": int(dice.lognormvariate(7, 0.7)),
            "time_to_first_token_ms": None,
            "time_to_first_completion_token_ms": None,
            "user_id": f"user{who:04d}@example.com",
            "account_name": account,
            "use_case_name": case,
            "use_case_id": instance,
            "use_case_step": step,
            "use_case_version": None,
            "scope": None,
            "user_key": key_of(Kind.USER, f"user{who:04d}@example.com"),
            "account_key": key_of(Kind.ACCOUNT, account),
            "use_case_key": key_of(Kind.USE_CASE, case),
            "step_key": key_of(Kind.STEP, step),
            "instance_key": key_of(Kind.INSTANCE, None if case is None else pair(case, instance)),
            "resource_key": key_of(Kind.RESOURCE, pair(category, resource)),
            "input_tokens": text.get("input", 0),
            "output_tokens": text.get("output", 0),
            "input_cost_micros": input_micros,
            "input_cost_rest": input_rest,
            "output_cost_micros": output_micros,
            "output_cost_rest": output_rest,
            "overrun_micros": 0,
            "overrun_rest": 0,
            "request_tags": None,
            "units": units,
            "unknown_units": units if price_in is None and units else None,
            "limits": limits_of or None,
            "warnings": None,
            "properties": {"session_id": f"s{who}"},
            "use_case_properties": None,
            "exchange": None,
        }


def _write_requests(connection: Connection, application_id: int, rows: list[dict[str, Any]], batch: int) -> None:
    for place in range(0, len(rows), 500):
        number = batch * _AT_ONCE + place
        for row in rows[place : place + 500]:
            row["batch"] = number
        mark = {"application_id": application_id, "batch": number, "requests": len(rows[place : place + 500])}
        connection.execute(insert(schema.batches), [mark])
    connection.execute(insert(schema.requests), rows)
    charged = [
        {
            "application_id": application_id,
            "limit_key": key_of(Kind.LIMIT, name),
            "request_id": row["request_id"],
            "batch": row["batch"],
            "user_key": row["user_key"],
        }
        for row in rows
        for name in row["limits"] or ()
    ]
    connection.execute(insert(schema.request_limits), charged)
    sums: dict[str, dict[str, int]] = {}
    for row in rows:
        for name, state in (row["limits"] or {}).items():
            added = sums.setdefault(name, dict.fromkeys((*limits.COSTS, *schema.STATES), 0))
            added[state] += 1
            for column in limits.COSTS:
                added[column] += row[column]
    writes = Writes(connection)
    limits.charge(writes, application_id, sums)
    writes.send()
