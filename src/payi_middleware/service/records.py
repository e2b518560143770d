"""What is kept of each request, and what is read back of it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any

from sqlalchemy import Connection, Integer, RowMapping, bindparam, func, select

from . import clock
from .money import exact, join
from .schema import request_limits, requests

# Built once: building a statement costs more than running it.
_BY_ID = select(requests).where(requests.c.request_id == bindparam("named"))
_BY_RESPONSE = select(requests).where(
    requests.c.category == bindparam("named_category"), requests.c.provider_response_id == bindparam("named_response")
)


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestRecord:
    """One request as it was stored. Costs are USD, latencies milliseconds, times UTC.

    Args:
        units, unknown_units: `{unit: {"input": n, "output": n}}`; the unknown ones had no price.
        limits: the state each limit was in after the request.
        exchange: the provider's URI, headers and bodies, if they were sent.
    """

    request_id: str
    category: str
    resource: str | None
    resource_id: str | None
    provider_response_id: str | None
    event_timestamp: datetime
    ingest_timestamp: datetime
    http_status_code: int | None
    failed: bool
    end_to_end_latency_ms: int | None
    time_to_first_token_ms: int | None
    time_to_first_completion_token_ms: int | None
    user_id: str | None
    account_name: str | None
    use_case_name: str | None
    use_case_id: str | None
    use_case_step: str | None
    use_case_version: int | None
    scope: str | None
    request_tags: list[str]
    properties: dict[str, str]
    use_case_properties: dict[str, str]
    units: dict[str, dict[str, int]]
    unknown_units: dict[str, dict[str, int]]
    warnings: list[str]
    exchange: dict[str, Any]
    input_tokens: int
    output_tokens: int
    input_cost: Decimal
    output_cost: Decimal
    cost: Decimal
    limits: dict[str, str]


@dataclass(frozen=True, slots=True)
class UserUsage:
    """What one user's requests add up to.

    Args:
        user_id: None for requests that nobody was named for.
        calls: all requests, the failed ones included.
        failed: requests whose provider call failed.
        input_tokens, output_tokens: sums over all units that count tokens.
        cost: USD.
    """

    user_id: str | None
    calls: int
    failed: int
    input_tokens: int
    output_tokens: int
    cost: Decimal


def total_cost(row: Mapping[Any, Any]) -> Decimal:
    """Return what a stored request cost in all."""
    return join(row["input_cost_micros"] + row["output_cost_micros"], row["input_cost_rest"] + row["output_cost_rest"])


def result_of(row: Mapping[Any, Any], states: Mapping[str, str]) -> dict[str, Any]:
    """Write Pay-i's result of a stored request; what there is none of is left out, amounts are Decimals of USD.

    Args:
        row: the request as stored.
        states: the state of each limit after the request.
    """
    total = {"base": total_cost(row)}
    if overrun := join(row["overrun_micros"], row["overrun_rest"]):
        total["overrun_base"] = overrun
    result: dict[str, Any] = {
        "request_id": row["request_id"],
        "resource_id": row["resource_id"],
        "cost": {
            "currency": "usd",
            "input": {"base": join(row["input_cost_micros"], row["input_cost_rest"])},
            "output": {"base": join(row["output_cost_micros"], row["output_cost_rest"])},
            "total": total,
        },
        "limits": {limit_id: {"state": state} for limit_id, state in states.items()},
        "blocked_limit_ids": [],
    }
    names = ("use_case_id", "use_case_name", "use_case_step", "user_id", "account_name")
    lists = ("request_tags", "unknown_units", "warnings")
    result.update((name, row[name]) for name in (*names, *lists) if row[name])
    if row["resource_id"] is None:
        del result["resource_id"]
    return result


def find_duplicate(connection: Connection, category: str, provider_response_id: str | None) -> RowMapping | None:
    """Return the stored request that reported the same response of the same provider."""
    if provider_response_id is None:
        return None
    named = {"named_category": category, "named_response": provider_response_id}
    return connection.execute(_BY_RESPONSE, named).mappings().one_or_none()


def find(connection: Connection, request_id: str) -> RowMapping | None:
    """Return a stored request."""
    return connection.execute(_BY_ID, {"named": request_id}).mappings().one_or_none()


def limit_states(connection: Connection, request_ids: Iterable[str]) -> dict[str, dict[str, str]]:
    """Return the states that requests left their limits in: `{request_id: {limit_id: state}}`."""
    states: dict[str, dict[str, str]] = {}
    query = select(request_limits).where(request_limits.c.request_id.in_(list(request_ids)))
    for row in connection.execute(query.order_by(request_limits.c.position)):
        states.setdefault(row.request_id, {})[row.limit_id] = row.state
    return states


def stored(connection: Connection, *, user_id: str | None, limit: int, newest_first: bool) -> list[RequestRecord]:
    """Read requests back, in the order they arrived or the newest first."""
    query = select(requests).order_by(requests.c.id.desc() if newest_first else requests.c.id).limit(limit)
    if user_id is not None:
        query = query.where(requests.c.user_id == user_id)
    rows = connection.execute(query).mappings().all()
    states = limit_states(connection, [row["request_id"] for row in rows])
    return [_record(row, states.get(row["request_id"], {})) for row in rows]


_LISTS = ("request_tags", "warnings")
_OBJECTS = ("properties", "use_case_properties", "unknown_units", "exchange")
_MONEY = ("input_cost_micros", "input_cost_rest", "output_cost_micros", "output_cost_rest")
_NOT_SHOWN = ("id", *_MONEY, "overrun_micros", "overrun_rest")


def _record(row: RowMapping, states: dict[str, str]) -> RequestRecord:
    fields = {name: value for name, value in row.items() if name not in _NOT_SHOWN}
    fields.update((name, row[name] or []) for name in _LISTS)
    fields.update((name, row[name] or {}) for name in _OBJECTS)
    fields.update((name, clock.from_text(row[name])) for name in ("event_timestamp", "ingest_timestamp"))
    fields["input_cost"] = join(row["input_cost_micros"], row["input_cost_rest"])
    fields["output_cost"] = join(row["output_cost_micros"], row["output_cost_rest"])
    return RequestRecord(**fields, cost=total_cost(row), limits=states)


def by_user(connection: Connection) -> list[UserUsage]:
    """Add up the requests of each user, the dearest first."""
    columns = requests.c
    query = select(
        columns.user_id,
        func.count().label("calls"),
        func.sum(columns.failed.cast(Integer)).label("failed"),
        func.sum(columns.input_tokens).label("input_tokens"),
        func.sum(columns.output_tokens).label("output_tokens"),
        func.sum(columns.input_cost_micros + columns.output_cost_micros).label("micros"),
        func.sum(columns.input_cost_rest + columns.output_cost_rest).label("rest"),
    ).group_by(columns.user_id)
    users = [
        UserUsage(
            user_id=row.user_id,
            calls=row.calls,
            failed=int(row.failed),
            input_tokens=int(row.input_tokens),
            output_tokens=int(row.output_tokens),
            cost=join(int(row.micros), int(row.rest)),
        )
        for row in connection.execute(query)
    ]
    with exact():
        return sorted(users, key=lambda user: (-user.cost, -user.calls, user.user_id or ""))
