"""Applications and their keys, definitions, KPIs, prices, periods of limits, and what the dashboard reads.

What the first version booked becomes the default application's.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime
from itertools import count, islice
from typing import Any

from alembic import op
from sqlalchemy import JSON, Connection, MetaData, Table, insert, select, text

from payi_middleware.service.accounts.applications import DEFAULT
from payi_middleware.service.accounts.booking import names_in
from payi_middleware.service.accounts.columns import response_key
from payi_middleware.service.store import clock
from payi_middleware.service.store.names import Kind, Known, key_of, pair
from payi_middleware.service.store.schema import (
    applications,
    batches,
    limits,
    metadata,
    request_limits,
    requests,
    use_case_definitions,
    use_case_instances,
)
from payi_middleware.service.store.writing import Writes

revision = "0002"
down_revision = "0001"

_TABLES = ("payi_requests", "payi_request_limits", "payi_limits", "payi_use_case_instances")
_JSON = frozenset(
    {"request_tags", "properties", "use_case_properties", "units", "unknown_units", "warnings", "exchange"}
)
_AT_ONCE = 500
_FIRST_BATCH = 1


def upgrade() -> None:
    """Make the new tables, and copy what is in the old ones.

    The tables are made as `schema` has them: a later revision that changes that has to write down here first what it
    looks like now.
    """
    connection = op.get_bind()
    op.drop_index("payi_requests_user", "payi_requests")
    for name in _TABLES:
        op.rename_table(name, f"old_{name}")
    metadata.create_all(connection)
    now = clock.micros(clock.now())
    made = insert(applications).values(name=DEFAULT, created_timestamp=now).returning(applications.c.application_id)
    _Copy(connection, connection.execute(made).scalar_one()).run()
    for name in ("payi_request_limits", "payi_requests", "payi_limits", "payi_use_case_instances"):
        op.drop_table(f"old_{name}")
    op.drop_table("payi_schema")


class _Copy:
    """Copy the old rows into the new tables."""

    def __init__(self, connection: Connection, application_id: int) -> None:
        self._connection = connection
        self._own = {"application_id": application_id}
        self._known = Known()

    def run(self) -> None:
        """Copy all of them."""
        self._write(limits, [self._limit(row) for row in self._old("payi_limits")])
        instances = [self._instance(row) for row in self._old("payi_use_case_instances")]
        self._write(use_case_instances, instances)
        names = sorted({row["use_case_name"] for row in instances})
        self._write(use_case_definitions, [self._definition(name) for name in names])
        old = self._old("payi_requests")
        for batch in count(_FIRST_BATCH):
            rows = [self._request(row, batch) for row in islice(old, _AT_ONCE)]
            if not rows:
                break
            self._write_batch(batch, rows)

    def _old(self, name: str) -> Iterator[Mapping[str, Any]]:
        table = Table(f"old_{name}", MetaData(), autoload_with=self._connection)
        for column in table.c:
            if column.name in _JSON:
                column.type = JSON(none_as_null=True)
        order = [table.c.id] if "id" in table.c else list(table.primary_key)
        last: list[Mapping[str, Any]] = []
        while True:
            query = select(table).order_by(*order).limit(_AT_ONCE)
            if last:
                query = query.where(table.c.id > last[-1]["id"])
            last = list(self._connection.execute(query).mappings().all())  # type: ignore[arg-type]
            yield from last
            if len(last) < _AT_ONCE:
                return

    def _write(self, table: Table, rows: Iterable[dict[str, Any]]) -> None:
        if told := list(rows):
            self._connection.execute(insert(table), told)

    def _limit(self, row: Mapping[str, Any]) -> dict[str, Any]:
        made = _micros(row["limit_creation_timestamp"])
        times = {"limit_creation_timestamp": made, "limit_update_timestamp": _micros(row["limit_update_timestamp"])}
        return {**_without_id(row), **self._own, **times, "period_start": made}

    def _instance(self, row: Mapping[str, Any]) -> dict[str, Any]:
        return {**_without_id(row), **self._own, "created_timestamp": _micros(row["created_timestamp"])}

    def _definition(self, name: str) -> dict[str, Any]:
        now = clock.micros(clock.now())
        times = {"created_timestamp": now, "updated_timestamp": now}
        return {**self._own, "use_case_name": name, "description": "", **times}

    def _request(self, row: Mapping[str, Any], batch: int) -> dict[str, Any]:
        told, own_id = _without_id(row), row["provider_response_id"]
        instance = pair(row["use_case_name"], row["use_case_id"]) if row["use_case_id"] else None
        return {
            **told,
            **self._own,
            "batch": batch,
            "response_key": None if own_id is None else response_key(row["category"], own_id),
            "event_timestamp": _micros(row["event_timestamp"]),
            "ingest_timestamp": _micros(row["ingest_timestamp"]),
            "limits": self._states(row["request_id"]) or None,
            "user_key": key_of(Kind.USER, row["user_id"]),
            "account_key": key_of(Kind.ACCOUNT, row["account_name"]),
            "use_case_key": key_of(Kind.USE_CASE, row["use_case_name"]),
            "step_key": key_of(Kind.STEP, row["use_case_step"]),
            "instance_key": key_of(Kind.INSTANCE, instance),
            "resource_key": key_of(Kind.RESOURCE, pair(row["category"], row["resource"])),
        }

    def _states(self, request_id: str) -> dict[str, str]:
        query = text("SELECT limit_id, state FROM old_payi_request_limits WHERE request_id = :named ORDER BY position")
        return {row.limit_id: row.state for row in self._connection.execute(query, {"named": request_id})}

    def _write_batch(self, batch: int, rows: list[dict[str, Any]]) -> None:
        self._write(requests, rows)
        self._write(request_limits, self._charged(rows))
        self._write(batches, [{**self._own, "batch": batch, "requests": len(rows)}])
        used = names_in(rows)
        writes = Writes(self._connection)
        self._known.write(writes, self._own["application_id"], used)
        writes.send()
        self._known.learn(self._own["application_id"], used)

    def _charged(self, rows: Iterable[Mapping[str, Any]]) -> Iterator[dict[str, Any]]:
        for row in rows:
            copied = {name: row[name] for name in ("request_id", "batch", "user_key")}
            for limit_id in row["limits"] or ():
                yield {**self._own, **copied, "limit_key": key_of(Kind.LIMIT, limit_id)}


def _without_id(row: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in row.items() if name != "id"}


def _micros(stored: str) -> int:
    return clock.micros(datetime.fromisoformat(stored))
