"""One run of the table: a shape in an app, behind middleware, on a server, under a crowd."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import httpx2
from fastapi import FastAPI
from starlette.types import ASGIApp

from payi_middleware import PayiMiddleware, Settings, parse_headers
from payi_middleware.demo.provider import Provider, Recorded
from payi_middleware.meter import meter_for
from payi_middleware.service.records import RequestRecord

from tests.attribution.asgi_crowd import CROWD, USERS, post_all
from tests.attribution.asgi_gate import Gate
from tests.attribution.asgi_kit import ClosesOnShutdown, Kit
from tests.attribution.asgi_proof import booked, misattributed, truth_of
from tests.attribution.asgi_serving import serving
from tests.attribution.asgi_shapes import Shape

Stack = Callable[[FastAPI, Settings], ASGIApp]


def outermost(app: FastAPI, settings: Settings) -> ASGIApp:
    """Put the middleware where most apps have it."""
    app.add_middleware(PayiMiddleware, settings=settings)
    return app


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a crowd was answered, what the provider was asked, what was reported, and how often in all."""

    responses: dict[str, httpx2.Response]
    asked: Sequence[Recorded]
    records: Sequence[RequestRecord]
    reports: int


def run(shape: Shape, provider: Provider, settings: Settings, *, stack: Stack = outermost, server: str) -> Outcome:
    """Have the whole crowd served at the same time."""
    with Kit(provider) as kit:
        app = FastAPI()
        shape.build(app, kit)
        app.add_middleware(Gate, width=CROWD)
        with serving(ClosesOnShutdown(stack(app, settings), kit.async_client), server) as address:
            responses = post_all(address, USERS, decoy=shape.decoy)
    records = booked(settings.ledger)
    return Outcome(responses, provider.requests, records, meter_for(settings).stats()["delivered"])


def assert_right(outcome: Outcome, shape: Shape) -> None:
    """Every call is reported once, as its own user's, and each response speaks of its own calls only."""
    assert misattributed(outcome.asked, outcome.records) == []
    assert len(outcome.asked) == outcome.reports == CROWD * shape.calls
    assert misinformed(outcome, shape.in_headers) == []


def misinformed(outcome: Outcome, in_headers: int) -> list[str]:
    """Say of each response what its headers say wrongly about the calls that were over when it started."""
    owners = {asked.response_id: (truth_of(asked).user or "").removesuffix("'s delegate") for asked in outcome.asked}
    ids_of: dict[str, list[str]] = {user: [] for user in outcome.responses}
    for record in outcome.records:
        ids_of[owners[record.provider_response_id]].append(record.request_id)
    wrong = []
    for user, response in outcome.responses.items():
        summary = parse_headers(response.headers)
        said = list(summary.request_ids) if summary else []
        if summary is None or summary.calls != in_headers or len(said) != in_headers:
            wrong.append(f"{user}: {in_headers} calls expected, not {summary}")
        elif len(set(said)) != len(said) or not set(said) <= set(ids_of[user]):
            wrong.append(f"{user}: the ids are {said}, not {ids_of[user]}")
    return wrong
