"""Many calls at once from four processes, against a limit with room for some of them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import redis
from starlette.responses import JSONResponse
from starlette.types import Receive, Scope, Send

from payi_middleware.demo.provider import Provider
from payi_middleware.service.app import create_app
from payi_middleware.service.ledger import Ledger
from tests.limits.calling import CENT, crowd
from tests.redis_server import REDIS_URL, need_redis
from tests.service_proxy.serving import KEY, served

PROCESSES, EACH = 4, 125
FEWER = 50
"""Calls of each where the limit has room for 60 in all: enough to see it, in half of the time."""
NewLimit = Callable[..., str]


def check_spend(ledger: Ledger, became: dict[str, int], maximum: float, calls: int) -> None:
    """Check that all of the limit was spent, and not more than one call beyond it."""
    totals = ledger.limit("budget")["totals"]
    spent = float(totals["cost"]["total"]["base"])
    assert set(became) == {"answered", "limit_reached"}
    assert sum(became.values()) == calls
    assert maximum <= spent < maximum + CENT
    assert totals["requests"]["blocked"] == became["limit_reached"]


def test_a_service_of_ours_shares_the_limit_out(
    service_url: str, ledger: Ledger, new_limit: NewLimit, provider: Provider
) -> None:
    settings = {"base_url": service_url, "api_key": KEY, "limit_ids": [new_limit("1")], "limit_wait": 60}

    became = crowd(provider.openai_url, [settings] * PROCESSES, EACH)

    check_spend(ledger, became, 1, PROCESSES * EACH)


def test_redis_shares_the_limit_out_for_a_service_that_does_not(
    service_url: str, ledger: Ledger, new_limit: NewLimit, provider: Provider
) -> None:
    need_redis()
    settings = {"base_url": service_url, "api_key": KEY, "limit_ids": [new_limit("0.6")], "limit_wait": 60}
    shared = {**settings, "redis_url": REDIS_URL}
    with redis.Redis.from_url(REDIS_URL) as server:
        for key in server.scan_iter("payi:limit:*"):
            server.delete(key)

    became = crowd(provider.openai_url, [shared] * PROCESSES, FEWER)

    check_spend(ledger, became, 0.6, PROCESSES * FEWER)


def test_the_embedded_ledger_shares_the_limit_out_among_those_that_use_its_file(
    ledger_path: Path, ledger: Ledger, new_limit: NewLimit, provider: Provider
) -> None:
    settings = {"ledger": str(ledger_path), "limit_ids": [new_limit("0.6")], "limit_wait": 60}

    became = crowd(provider.openai_url, [settings] * PROCESSES, FEWER)

    check_spend(ledger, became, 0.6, PROCESSES * FEWER)


def test_one_process_alone_needs_nobody_to_share_with(
    service_url: str, ledger: Ledger, new_limit: NewLimit, provider: Provider
) -> None:
    settings = {"base_url": service_url, "api_key": KEY, "limit_ids": [new_limit("0.3")], "limit_wait": 60}

    became = crowd(provider.openai_url, [settings], EACH)

    spent = float(ledger.limit("budget")["totals"]["cost"]["total"]["base"])
    assert 0.3 <= spent < 0.3 + CENT
    assert became["answered"] + became["limit_reached"] == EACH


def test_processes_that_share_with_nobody_overshoot_by_what_was_left_for_each_at_most(
    ledger: Ledger, new_limit: NewLimit, provider: Provider
) -> None:
    app = create_app(ledger, api_key=KEY)

    async def without_leases(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and scope["path"].endswith("/lease"):  # as the hosted Pay-i's has none
            await JSONResponse({"statusCode": 404, "message": "nothing is here"}, 404)(scope, receive, send)
        else:
            await app(scope, receive, send)

    with served(without_leases) as url:
        settings = {"base_url": url, "api_key": KEY, "limit_ids": [new_limit("0.2")], "limit_wait": 60}
        became = crowd(provider.openai_url, [settings] * PROCESSES, 40)

    spent = float(ledger.limit("budget")["totals"]["cost"]["total"]["base"])
    assert 0.2 <= spent < PROCESSES * (0.2 + CENT)
    assert became["limit_reached"] > 0
