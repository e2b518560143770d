"""What is kept of each request, and what is read back of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any

from sqlalchemy import Connection, Integer, RowMapping, bindparam, func, select, update

from payi_middleware.service.store import clock
from payi_middleware.service.store.encoding import decoded
from payi_middleware.service.store.money import exact, join
from payi_middleware.service.store.names import Kind, key_of
from payi_middleware.service.store.schema import requests

from .columns import response_key
from .use_cases import merge

# Built once: building a statement costs more than running it.
_BY_ID = select(requests).where(
    requests.c.application_id == bindparam("application"), requests.c.request_id == bindparam("named")
)
_BY_RESPONSE = select(requests).where(
    requests.c.application_id == bindparam("application"), requests.c.response_key == bindparam("named")
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
    blocked: bool
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


def answer_of(row: Mapping[Any, Any], *, repeated: bool = False) -> dict[str, Any]:
    """Write Pay-i's answer to the ingest of a request.

    Args:
        repeated: it had been booked before.
    """
    return {
        "event_timestamp": clock.as_text(row["event_timestamp"]),
        "ingest_timestamp": clock.as_text(row["ingest_timestamp"]),
        "request_id": row["request_id"],
        "xproxy_result": result_of(row, repeated=repeated),
    }


def result_of(row: Mapping[Any, Any], *, repeated: bool = False) -> dict[str, Any]:
    """Write Pay-i's result of a stored request; what there is none of is left out, amounts are Decimals of USD.

    Args:
        repeated: it had been booked before.
    """
    total = {"base": total_cost(row)}
    if overrun := join(row["overrun_micros"], row["overrun_rest"]):
        total["overrun_base"] = overrun
    states = decoded(row["limits"]) or {}
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
        "blocked_limit_ids": [limit_id for limit_id, state in states.items() if state == "blocked"],
    }
    names = ("use_case_id", "use_case_name", "use_case_step", "user_id", "account_name")
    lists = ("request_tags", "unknown_units", "warnings")
    result.update((name, decoded(row[name])) for name in (*names, *lists) if row[name])
    if row["resource_id"] is None:
        del result["resource_id"]
    if row["blocked"]:
        del result["cost"]
    if repeated:
        result["duplicate_request"] = True
    return result


def find_response(
    connection: Connection, application_id: int, category: str, provider_response_id: str
) -> RowMapping | None:
    """Return the stored request that reported a response of a provider."""
    named = {"application": application_id, "named": response_key(category, provider_response_id)}
    return connection.execute(_BY_RESPONSE, named).mappings().one_or_none()


def find(connection: Connection, application_id: int, request_id: str) -> RowMapping | None:
    """Return a stored request."""
    return connection.execute(_BY_ID, {"application": application_id, "named": request_id}).mappings().one_or_none()


def merge_properties(
    connection: Connection,
    application_id: int,
    find: Callable[..., RowMapping | None],
    named: tuple[str, ...],
    properties: Mapping[str, str | None],
) -> str | None:
    """Merge properties into those of a request, and return its id; None if there is no such request.

    Args:
        find: finds it by its names: `find` or `find_response`.
    """
    row = find(connection, application_id, *named)
    if row is None:
        return None
    own = requests.c.application_id == application_id, requests.c.request_id == row["request_id"]
    # Read once more, now that nobody else can change it.
    known = connection.execute(select(requests.c.properties).where(*own).with_for_update()).scalar_one()
    connection.execute(update(requests).where(*own).values(properties=merge(known, properties) or None))
    return str(row["request_id"])


def stored(
    connection: Connection, application_id: int, *, user_id: str | None, limit: int, newest_first: bool
) -> list[RequestRecord]:
    """Read requests back, in the order they arrived or the newest first."""
    order = requests.c.request_id.desc() if newest_first else requests.c.request_id
    query = select(requests).where(requests.c.application_id == application_id).order_by(order).limit(limit)
    if user_id is not None:
        query = query.where(requests.c.user_key == key_of(Kind.USER, user_id))
    return [_record(row) for row in connection.execute(query).mappings()]


_LISTS = ("request_tags", "warnings")
_OBJECTS = ("properties", "use_case_properties", "unknown_units", "limits", "exchange")
_KEYS = ("user_key", "account_key", "use_case_key", "step_key", "instance_key", "resource_key", "response_key")
_MONEY = ("input_cost_micros", "input_cost_rest", "output_cost_micros", "output_cost_rest")
_NOT_SHOWN = frozenset({"application_id", "batch", *_KEYS, *_MONEY, "overrun_micros", "overrun_rest"})


def _record(row: RowMapping) -> RequestRecord:
    fields = {name: value for name, value in row.items() if name not in _NOT_SHOWN}
    fields.update((name, row[name] or []) for name in _LISTS)
    fields.update((name, row[name] or {}) for name in _OBJECTS)
    fields.update((name, clock.from_micros(row[name])) for name in ("event_timestamp", "ingest_timestamp"))
    fields["input_cost"] = join(row["input_cost_micros"], row["input_cost_rest"])
    fields["output_cost"] = join(row["output_cost_micros"], row["output_cost_rest"])
    return RequestRecord(**fields, cost=total_cost(row))


def by_user(connection: Connection, application_id: int) -> list[UserUsage]:
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
    )
    query = query.where(columns.application_id == application_id).group_by(columns.user_id)
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
