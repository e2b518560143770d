"""Ingest: one event, or many."""

from __future__ import annotations

from functools import partial

from anyio.to_thread import run_sync
from starlette.responses import Response

from payi_middleware.service.accounts import records
from payi_middleware.service.accounts.events import Event, parse_event
from payi_middleware.service.errors import ServiceError, invalid
from payi_middleware.service.ledger import bulk_answer, parse_events
from payi_middleware.service.store import clock

from .bodies import answer
from .models.events import BulkHeaders, BulkItems, Ingest, IngestHeaders, IngestQuery
from .models.results import BulkIngestResponse, IngestResponse
from .routing import Route, Told
from .service import Call
from .wire import ingest_item

__all__ = ["ROUTES"]

_BY_THREAD = 20
"""Items from which on their checking would keep the event loop from its other work for a noticeable time."""


async def ingest(call: Call, query: IngestQuery) -> Response:
    """Book a call to a provider. What it was for is in the headers."""
    item = ingest_item(await call.json(), call.request.headers, query.id)
    (outcome,) = await call.book([parse_event(item, clock.now(), takes_block_limits=_takes_block_limits(call))])
    if isinstance(outcome, ServiceError):
        raise outcome
    return answer(records.answer_of(outcome.row, repeated=outcome.repeated))


async def ingest_bulk(call: Call) -> Response:
    """Book many calls to providers, each judged alone."""
    items = await call.json()
    if items is None:  # Pay-i's SDK sends no body at all for an empty list
        items = []
    if not isinstance(items, list):
        raise invalid("the body must be a JSON array")
    received = clock.now()
    parse = partial(parse_events, items, received, takes_block_limits=_takes_block_limits(call))
    parsed = await run_sync(parse) if len(items) > _BY_THREAD else parse()
    booked = iter(await call.book([event for event in parsed if isinstance(event, Event)]))
    outcomes = [next(booked) if isinstance(event, Event) else event for event in parsed]
    wanted = "return=representation" in call.request.headers.get("prefer", "").lower()
    return answer(bulk_answer(outcomes, received, with_results=wanted))


def _takes_block_limits(call: Call) -> bool:
    return call.service.config.block_ingest == "record"


_ERRORS = (
    "blocking_limit_not_allowed",
    "duplicate_limit_id",
    "invalid_ingest_event_timestamp",
    "invalid_limit_ids",
    "invalid_tags",
    "invalid_use_case_name",
    "invalid_user_id",
)

ROUTES = (
    Route(
        "POST",
        "/api/v1/ingest",
        ingest,
        query=IngestQuery,
        answer=IngestResponse,
        errors={400: _ERRORS},
        told=Told(body=Ingest, headers=IngestHeaders),
    ),
    Route(
        "POST",
        "/api/v1/ingest/bulk",
        ingest_bulk,
        answer=BulkIngestResponse,
        told=Told(body=BulkItems, body_required=False, headers=BulkHeaders),
    ),
)
