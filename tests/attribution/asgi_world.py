"""One run of the table: a shape in an app, behind middleware, on a server, under a crowd."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import httpx2
from fastapi import FastAPI

from payi_middleware import Settings, parse_headers
from payi_middleware.demo.provider import Provider, Recorded
from payi_middleware.meter import meter_for
from payi_middleware.service.accounts.records import RequestRecord
from tests.attribution.asgi_crowd import CROWD, USERS, post_all
from tests.attribution.asgi_gate import Gate
from tests.attribution.asgi_kit import DELEGATE, ClosesOnShutdown, Kit
from tests.attribution.asgi_proof import booked, misattributed, truth_of
from tests.attribution.asgi_serving import serving
from tests.attribution.asgi_stacks import Stack, outermost
from tests.attribution.asgi_table import Shape


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a crowd was answered, what the provider was asked, what was reported, and how often in all."""

    responses: dict[str, httpx2.Response]
    asked: Sequence[Recorded]
    records: Sequence[RequestRecord]
    reports: int


def run(
    shape: Shape,
    provider: Provider,
    settings: Settings,
    *,
    server: str = "uvicorn",
    stack: Stack = outermost,
    drive: Callable[[str], dict[str, httpx2.Response]] | None = None,
    afterwards: Callable[[Kit], object] = lambda kit: None,
) -> Outcome:
    """Have the whole crowd served at the same time.

    Args:
        drive: given `host:port`, sends the crowd; None: each user posts once.
        afterwards: done with what the handlers used, once the server has stopped.
    """
    with Kit(provider) as kit:
        app = FastAPI()
        shape.build(app, kit)
        app.add_middleware(Gate, width=CROWD)
        with serving(ClosesOnShutdown(stack(app, settings), kit.async_client), server) as address:
            responses = drive(address) if drive else post_all(address, USERS, decoy=shape.decoy)
        afterwards(kit)
    records = booked(settings.ledger)
    return Outcome(responses, provider.requests, records, meter_for(settings).stats()["delivered"])


def assert_right(outcome: Outcome, shape: Shape, *, at_most: int | None = None) -> None:
    """Every call is reported once, as its own user's, and each response speaks of its own calls only.

    Args:
        at_most: how many calls may have begun when the response starts; None: those that were over.
    """
    assert misattributed(outcome.asked, outcome.records) == []
    assert len(outcome.asked) == outcome.reports == CROWD * shape.calls
    assert misinformed(outcome, lambda _: (shape.in_headers, at_most or shape.in_headers)) == []


def misinformed(outcome: Outcome, expected: Callable[[str], tuple[int, int]]) -> list[str]:
    """Say of each response what its headers say wrongly about the calls of its request.

    Args:
        expected: given a user, how many calls were over when the response started and how many may have begun.
    """
    owners = {asked.response_id: (truth_of(asked).user or "").removesuffix(DELEGATE) for asked in outcome.asked}
    ids_of: defaultdict[str, list[str]] = defaultdict(list)
    for record in outcome.records:
        ids_of[owners[record.provider_response_id]].append(record.request_id)
    wrong = []
    for user, response in outcome.responses.items():
        summary, (over, begun) = parse_headers(response.headers), expected(user)
        said = summary.request_ids
        if not over <= len(said) <= summary.calls <= begun:
            wrong.append(f"{user}: {over} to {begun} calls expected, not {summary}")
        elif len(set(said)) != len(said) or not set(said) <= set(ids_of[user]):
            wrong.append(f"{user}: the ids are {said}, not {ids_of[user]}")
    return wrong
