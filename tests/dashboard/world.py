"""What the dashboard is asked about: some hundred requests of several users, models and use cases, some of them odd."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from payi_middleware.service.accounts import rollups
from payi_middleware.service.accounts.events import parse_event
from payi_middleware.service.ledger import Ledger
from payi_middleware.service.store import clock

LONG = "a-very-long-name-that-does-not-fit-into-any-table-of-ours@example.com"
MODELS = (("system.openai", "gpt-4o-mini"), ("system.openai", "gpt-4o"), ("system.anthropic", "claude-sonnet-4-5"))
UNKNOWN = ("in-house", "llama/7b")
USERS = ("alice", "bob", "=1+2", "<script>alert(1)</script>", LONG, None)
CASES: dict[str | None, tuple[str | None, ...]] = {
    "support-chat": ("classify", "answer", None),
    "search.v2": ("embed",),
    None: (None,),
}


def events(dice: random.Random, count: int, now: datetime, days: int = 80) -> Iterator[dict[str, Any]]:
    """Yield reports of the last days, each other one of the last two."""
    for number in range(count):
        minutes = dice.randrange(60 * 24 * (2 if number % 2 else days)) + 1
        category, resource = UNKNOWN if dice.random() < 0.1 else dice.choice(MODELS)
        case = dice.choice(list(CASES))
        failed = dice.random() < 0.1
        yield {
            "category": category,
            "resource": resource,
            "units": {} if failed else {"text": {"input": dice.randrange(1, 9000), "output": dice.randrange(900)}},
            "event_timestamp": (now - timedelta(minutes=minutes)).isoformat(),
            "http_status_code": 500 if failed else 200,
            "end_to_end_latency_ms": dice.choice([None, 20 + dice.randrange(9000)]),
            "provider_response_id": f"answer-{number}",
            "user_id": dice.choice(USERS),
            "account_name": dice.choice(["acme", "umbrella", None]),
            "use_case_name": case,
            "use_case_id": f"case {dice.randrange(6)}/β",
            "use_case_step": dice.choice(CASES[case]),
            "limit_ids": dice.choice([[], ["team"], ["team", "trial/1"]]),
            "request_tags": ["nightly"],
            "properties": {"ticket": f"T-{number}"},
        }


def fill(ledger: Ledger, *, seed: int = 3, count: int = 160, fold: float = 0.5) -> None:
    """Book them.

    Args:
        fold: the part of them that is added up in the rollups; the rest is left as it came in.
    """
    dice, now = random.Random(seed), clock.now()
    ledger.create_limit(limit_id="team", limit_name="Team budget", max=100, threshold=0.8)
    ledger.create_limit(limit_id="trial/1", limit_name="Trial", max=0.05, limit_type="block")
    items = list(events(dice, count, now))
    first = round(count * fold)
    if first:
        assert ledger.ingest_bulk(items[:first])["error_count"] == 0
        fold_all(ledger)
    if items[first:]:
        assert ledger.ingest_bulk(items[first:])["error_count"] == 0
    refused = parse_event({**items[0], "provider_response_id": "refused", "limit_ids": ["trial/1"]}, now)
    ledger.book([replace(refused, blocked_by=("trial/1",), units={}, http_status_code=None)])


def fold_all(ledger: Ledger) -> None:
    """Add up what was booked."""
    while ledger.write(rollups.fold):
        pass
