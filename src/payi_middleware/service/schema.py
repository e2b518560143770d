"""The tables. Names start with `payi_`, so that a ledger can share a database with an app.

Money is in pairs of integers (see `money`), a limit's settings are decimal texts, times are texts (see `clock`).
"""

from __future__ import annotations

from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    Column,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    String,
    Table,
    Text,
    UniqueConstraint,
)

SCHEMA_VERSION = 1

STATES = ("ok", "blocked", "blocked_external", "exceeded", "overrun", "failed")
"""The states a request can leave a limit in; a limit counts its requests by them."""

metadata = MetaData()

_Json = JSON(none_as_null=True)
_Serial = BigInteger().with_variant(Integer, "sqlite")
_Time = String(27)


def _money(name: str) -> tuple[Column[int], Column[int]]:
    return (
        Column(f"{name}_micros", BigInteger, nullable=False, default=0),
        Column(f"{name}_rest", BigInteger, nullable=False, default=0),
    )


schema_versions = Table("payi_schema", metadata, Column("version", Integer, primary_key=True))

requests = Table(
    "payi_requests",
    metadata,
    Column("id", _Serial, primary_key=True, autoincrement=True),
    Column("request_id", String(64), nullable=False, unique=True),
    Column("category", Text, nullable=False),
    Column("resource", Text),
    Column("resource_id", String(36)),
    Column("provider_response_id", Text),
    Column("event_timestamp", _Time, nullable=False),
    Column("ingest_timestamp", _Time, nullable=False),
    Column("http_status_code", Integer),
    Column("failed", Boolean, nullable=False),
    Column("end_to_end_latency_ms", BigInteger),
    Column("time_to_first_token_ms", BigInteger),
    Column("time_to_first_completion_token_ms", BigInteger),
    Column("user_id", Text),
    Column("account_name", Text),
    Column("use_case_name", String(64)),
    Column("use_case_id", Text),
    Column("use_case_step", Text),
    Column("use_case_version", BigInteger),
    Column("scope", Text),
    Column("request_tags", _Json),
    Column("properties", _Json),
    Column("use_case_properties", _Json),
    Column("units", _Json, nullable=False),
    Column("unknown_units", _Json),
    Column("warnings", _Json),
    Column("exchange", _Json),
    Column("input_tokens", BigInteger, nullable=False),
    Column("output_tokens", BigInteger, nullable=False),
    *_money("input_cost"),
    *_money("output_cost"),
    *_money("overrun"),
    # One provider response is charged once, whoever delivers it how often; without an id there is nothing to compare.
    UniqueConstraint("category", "provider_response_id"),
    Index("payi_requests_user", "user_id"),
)

request_limits = Table(
    "payi_request_limits",
    metadata,
    Column("request_id", String(64), ForeignKey(requests.c.request_id), primary_key=True),
    Column("position", Integer, primary_key=True),
    # No foreign key: what a limit was charged with stays readable when the limit is deleted.
    Column("limit_id", Text, nullable=False),
    Column("state", String(16), nullable=False),
)

limits = Table(
    "payi_limits",
    metadata,
    Column("id", _Serial, primary_key=True, autoincrement=True),
    Column("limit_id", Text, nullable=False, unique=True),
    Column("limit_name", Text, nullable=False, unique=True),
    Column("limit_type", String(8), nullable=False),
    Column("max", Text, nullable=False),
    Column("threshold", Text),
    Column("limit_creation_timestamp", _Time, nullable=False),
    Column("limit_update_timestamp", _Time, nullable=False),
    *_money("input_cost"),
    *_money("output_cost"),
    *(Column(state, BigInteger, nullable=False, default=0) for state in STATES),
)

use_case_instances = Table(
    "payi_use_case_instances",
    metadata,
    Column("id", _Serial, primary_key=True, autoincrement=True),
    Column("use_case_name", String(64), nullable=False),
    Column("use_case_id", Text, nullable=False),
    Column("properties", _Json),
    Column("created_timestamp", _Time, nullable=False),
    UniqueConstraint("use_case_name", "use_case_id"),
)
