"""Booking an event: what is stored and charged for it, within one transaction."""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any, NamedTuple

from sqlalchemy import Connection, insert

from . import clock, limits, records, use_cases
from .events import Event
from .money import Amount, split
from .pricing import Price, Resource, find_resource
from .schema import request_limits, requests
from .units import as_json, tokens

_INSERT_REQUEST = insert(requests)
_INSERT_CHARGES = insert(request_limits)


class Priced(NamedTuple):
    """An event and what it cost; `resource` is None where no price is known."""

    event: Event
    resource: Resource | None
    cost: Price


def price(event: Event) -> Priced:
    """Price an event by what was in force at its time; without a known resource it costs nothing."""
    resource = find_resource(event.category, event.resource, event.event_timestamp)
    if resource is None:
        return Priced(event, None, Price(Decimal(0), Decimal(0), dict(event.units)))
    return Priced(event, resource, resource.price(event.units, succeeded=not event.failed))


def book(connection: Connection, priced: Priced) -> dict[str, Any]:
    """Store and charge an event, once: a repeat answers with the first delivery's request id and cost.

    Everything is checked before the first write, so that a refusal has changed nothing.

    Raises:
        ServiceError: the event names a limit that does not exist.
    """
    event = priced.event
    first = records.find_duplicate(connection, event.category, event.provider_response_id)
    if first is not None:
        states = records.limit_states(connection, [first["request_id"]]).get(first["request_id"], {})
        return _answer(first, {**records.result_of(first, states), "duplicate_request": True})
    locked = limits.lock(connection, event.limit_ids)
    input_cost, output_cost = split(priced.cost.input), split(priced.cost.output)
    charges = limits.charge(connection, locked, input_cost, output_cost, failed=event.failed)
    row = _row(priced, input_cost, output_cost, charges)
    connection.execute(_INSERT_REQUEST, row)
    if charges:
        connection.execute(_INSERT_CHARGES, _charge_rows(row["request_id"], charges))
    if row["use_case_name"]:
        properties = event.use_case_properties
        made = row["ingest_timestamp"]
        use_cases.touch(connection, row["use_case_name"], row["use_case_id"], properties, made)
    return _answer(row, records.result_of(row, {charge.limit_id: charge.state for charge in charges}))


def _answer(row: Mapping[Any, Any], result: dict[str, Any]) -> dict[str, Any]:
    return {
        "event_timestamp": row["event_timestamp"],
        "ingest_timestamp": row["ingest_timestamp"],
        "request_id": row["request_id"],
        "xproxy_result": result,
    }


def _charge_rows(request_id: str, charges: Sequence[limits.Charge]) -> list[dict[str, Any]]:
    return [
        {"request_id": request_id, "position": position, "limit_id": charge.limit_id, "state": charge.state}
        for position, charge in enumerate(charges)
    ]


def _row(priced: Priced, input_cost: Amount, output_cost: Amount, charges: Sequence[limits.Charge]) -> dict[str, Any]:
    event, resource = priced.event, priced.resource
    counted = tokens(event.units)
    overrun = split(max((charge.overrun for charge in charges), default=Decimal(0)))
    copied = {name: getattr(event, name) for name in _COPIED}
    return copied | {
        "request_id": f"req_{uuid.uuid4().hex}",
        "resource_id": resource.resource_id if resource else None,
        "event_timestamp": clock.as_text(event.event_timestamp),
        "ingest_timestamp": clock.as_text(event.ingest_timestamp),
        "use_case_id": event.use_case_name and (event.use_case_id or str(uuid.uuid4())),
        "request_tags": event.request_tags or None,
        "properties": use_cases.merge(None, event.properties) or None,
        "use_case_properties": use_cases.merge(None, event.use_case_properties) or None,
        "units": as_json(event.units),
        "unknown_units": as_json(priced.cost.unknown) or None,
        "warnings": _warnings(priced, charges) or None,
        "exchange": event.exchange or None,
        "input_tokens": counted.input,
        "output_tokens": counted.output,
        "input_cost_micros": input_cost.micros,
        "input_cost_rest": input_cost.rest,
        "output_cost_micros": output_cost.micros,
        "output_cost_rest": output_cost.rest,
        "overrun_micros": overrun.micros,
        "overrun_rest": overrun.rest,
    }


_COPIED = (
    "category",
    "resource",
    "provider_response_id",
    "http_status_code",
    "failed",
    "end_to_end_latency_ms",
    "time_to_first_token_ms",
    "time_to_first_completion_token_ms",
    "user_id",
    "account_name",
    "use_case_name",
    "use_case_step",
    "use_case_version",
    "scope",
)


def _warnings(priced: Priced, charges: Sequence[limits.Charge]) -> list[str]:
    event, warnings = priced.event, []
    if event.use_case_id and not event.use_case_name:
        warnings.append("use_case_id was ignored: it came without a use_case_name")
    if event.units and priced.resource is None:
        named = f"{event.category}/{event.resource}" if event.resource else f"{event.category} without a resource"
        warnings.append(f"no price is known for {named}: recorded at no cost")
    elif priced.cost.unknown:
        warnings.append(f"no price is known for some units: {', '.join(sorted(priced.cost.unknown))}")
    warnings.extend(
        f"limit {charge.limit_id} is of type block, which cannot stop a call that was already made"
        for charge in charges
        if charge.limit_type == limits.BLOCK
    )
    return warnings
