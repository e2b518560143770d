"""A response's headers speak of its own request's provider calls, whoever else is calling at the time."""

from __future__ import annotations

import asyncio

from fastapi import FastAPI

from payi_middleware import Settings, parse_headers
from payi_middleware.demo.provider import Provider
from tests.attribution.asgi_crowd import CROWD
from tests.attribution.asgi_kit import Kit, Truth
from tests.attribution.asgi_proof import misattributed
from tests.attribution.asgi_table import Shape, User
from tests.attribution.asgi_world import misinformed, run


def _calls_of(user: str) -> int:
    return int(user[-2:]) % 5


def _build(app: FastAPI, kit: Kit) -> None:
    @app.post("/")
    async def handler(user: User) -> None:
        blocking = [asyncio.to_thread(kit.call, Truth(user)) for _ in range(_calls_of(user) // 2)]
        waiting = [kit.acall(Truth(user)) for _ in range(_calls_of(user) - len(blocking))]
        await asyncio.gather(*blocking, *waiting)


def test_each_overlapping_response_counts_its_own_calls_only(provider: Provider, settings: Settings) -> None:
    outcome = run(Shape(_build), provider, settings)

    assert len(outcome.asked) == CROWD * 2
    assert misattributed(outcome.asked, outcome.records) == []
    assert misinformed(outcome, lambda user: (_calls_of(user), _calls_of(user))) == []
    costs = {record.request_id: record.cost for record in outcome.records}
    for response in outcome.responses.values():
        summary = parse_headers(response.headers)
        assert summary.status == "final"
        assert (summary.cost or 0) == sum(costs[request_id] for request_id in summary.request_ids)
