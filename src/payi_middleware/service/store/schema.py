"""The tables. Names start with `payi_`, so that a ledger can share a database with an app.

Every table but those of applications, keys and price catalogues begins with `application_id`, by which it can be
distributed over many servers. Money is in pairs of integers (see `money`), settings of limits are decimal texts, times
are microseconds since 1970 (see `clock`), and names that are grouped or searched by are 64-bit keys (see `names`).
"""

from __future__ import annotations

from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    Column,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    SmallInteger,
    String,
    Table,
    Text,
    UniqueConstraint,
    text,
)

STATES = ("ok", "blocked", "blocked_external", "exceeded", "overrun", "failed")
"""The states a request can leave a limit in; a limit counts its requests by them."""

metadata = MetaData()

_Json = JSON(none_as_null=True)


def _money(name: str) -> tuple[Column[int], Column[int]]:
    return (
        Column(f"{name}_micros", BigInteger, nullable=False, default=0),
        Column(f"{name}_rest", BigInteger, nullable=False, default=0),
    )


def _application() -> Column[int]:
    return Column("application_id", Integer, primary_key=True, autoincrement=False)


applications = Table(
    "payi_applications",
    metadata,
    Column("application_id", Integer, primary_key=True, autoincrement=True),
    Column("name", String(256), nullable=False, unique=True),
    Column("created_timestamp", BigInteger, nullable=False),
)

keys = Table(
    "payi_keys",
    metadata,
    Column("key_id", String(32), primary_key=True),
    Column("application_id", Integer, nullable=False),
    Column("name", String(256), nullable=False, unique=True),
    Column("secret_hash", LargeBinary(32), nullable=False),
    Column("created_timestamp", BigInteger, nullable=False),
    Column("revoked_timestamp", BigInteger),
)

requests = Table(
    "payi_requests",
    metadata,
    _application(),
    Column("request_id", String(40), primary_key=True),
    # What one transaction has booked; it is the beginning of the request ids, too, so that they sort by time.
    Column("batch", BigInteger, nullable=False),
    # A digest of category and provider_response_id: these may be longer than what an index takes.
    Column("response_key", LargeBinary(16)),
    Column("category", Text, nullable=False),
    Column("resource", Text),
    Column("resource_id", String(36)),
    Column("provider_response_id", Text),
    Column("event_timestamp", BigInteger, nullable=False),
    Column("ingest_timestamp", BigInteger, nullable=False),
    Column("http_status_code", Integer),
    Column("failed", Boolean, nullable=False),
    Column("blocked", Boolean, nullable=False, default=False),
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
    Column("user_key", BigInteger, nullable=False, default=0),
    Column("account_key", BigInteger, nullable=False, default=0),
    Column("use_case_key", BigInteger, nullable=False, default=0),
    Column("step_key", BigInteger, nullable=False, default=0),
    Column("instance_key", BigInteger, nullable=False, default=0),
    Column("resource_key", BigInteger, nullable=False, default=0),
    Column("input_tokens", BigInteger, nullable=False),
    Column("output_tokens", BigInteger, nullable=False),
    *_money("input_cost"),
    *_money("output_cost"),
    *_money("overrun"),
    Column("request_tags", _Json),
    Column("units", _Json, nullable=False),
    Column("unknown_units", _Json),
    Column("limits", _Json),
    Column("warnings", _Json),
    Column("properties", _Json),
    Column("use_case_properties", _Json),
    Column("exchange", _Json),
    # One provider response is charged once, whoever delivers it how often; without an id there is nothing to compare.
    UniqueConstraint("application_id", "response_key", name="payi_requests_response"),
    Index("payi_requests_batch", "application_id", "batch"),
    Index("payi_requests_time", "application_id", "event_timestamp"),
    Index("payi_requests_resource", "application_id", "resource_key", "event_timestamp"),
    *(
        Index(
            f"payi_requests_{name}",
            "application_id",
            f"{name}_key",
            "event_timestamp",
            sqlite_where=text(f"{name}_key <> 0"),
            postgresql_where=text(f"{name}_key <> 0"),
        )
        for name in ("user", "account", "use_case", "instance")
    ),
    *(
        Index(
            f"payi_requests_{name}",
            "application_id",
            # The same in all of its rows: SQLite prefers the index with more equalities to that of all times.
            column,
            "event_timestamp",
            sqlite_where=text(condition),
            postgresql_where=text(condition),
        )
        for name, column, condition in (
            ("failed", "failed", "failed"),
            ("blocked", "blocked", "blocked"),
            ("unpriced", "resource_id", "resource_id IS NULL AND unknown_units IS NOT NULL"),
        )
    ),
)

request_limits = Table(
    "payi_request_limits",
    metadata,
    _application(),
    # No foreign key: what a limit was charged with stays readable when the limit is deleted.
    Column("limit_key", BigInteger, primary_key=True, autoincrement=False),
    Column("request_id", String(40), primary_key=True),
    Column("batch", BigInteger, nullable=False),
    Column("user_key", BigInteger, nullable=False),
    Index("payi_request_limits_batch", "application_id", "batch"),
)

limits = Table(
    "payi_limits",
    metadata,
    _application(),
    Column("limit_id", Text, primary_key=True),
    Column("limit_name", Text, nullable=False),
    Column("limit_type", String(8), nullable=False),
    Column("max", Text, nullable=False),
    Column("threshold", Text),
    Column("properties", _Json),
    Column("limit_creation_timestamp", BigInteger, nullable=False),
    Column("limit_update_timestamp", BigInteger, nullable=False),
    Column("period_start", BigInteger, nullable=False),
    *_money("input_cost"),
    *_money("output_cost"),
    *(Column(state, BigInteger, nullable=False, default=0) for state in STATES),
    UniqueConstraint("application_id", "limit_name", name="payi_limits_name"),
    Index("payi_limits_created", "application_id", "limit_creation_timestamp", "limit_id"),
)

limit_periods = Table(
    "payi_limit_periods",
    metadata,
    _application(),
    Column("limit_id", Text, primary_key=True),
    Column("period_start", BigInteger, primary_key=True, autoincrement=False),
    Column("reset_timestamp", BigInteger, nullable=False),
    Column("limit_name", Text, nullable=False),
    Column("limit_type", String(8), nullable=False),
    Column("max", Text, nullable=False),
    Column("threshold", Text),
    *_money("input_cost"),
    *_money("output_cost"),
    *(Column(state, BigInteger, nullable=False, default=0) for state in STATES),
)

leases = Table(
    "payi_leases",
    metadata,
    _application(),
    Column("limit_id", Text, primary_key=True),
    Column("holder", String(64), primary_key=True),
    # In 10^-9 USD, as the callers' calls may still cost.
    Column("held", BigInteger, nullable=False),
    Column("until", BigInteger, nullable=False),
)
"""What processes hold of limits for calls that they are making."""

use_case_definitions = Table(
    "payi_use_case_definitions",
    metadata,
    _application(),
    Column("use_case_name", String(64), primary_key=True),
    Column("description", Text, nullable=False),
    Column("logging_enabled", Boolean, nullable=False, default=True),
    Column("type_version", Integer, nullable=False, default=1),
    Column("limit_config", _Json),
    Column("created_timestamp", BigInteger, nullable=False),
    Column("updated_timestamp", BigInteger, nullable=False),
    Index("payi_use_case_definitions_created", "application_id", "created_timestamp", "use_case_name"),
)

use_case_instances = Table(
    "payi_use_case_instances",
    metadata,
    _application(),
    Column("use_case_name", String(64), primary_key=True),
    Column("use_case_id", Text, primary_key=True),
    Column("type_version", Integer, nullable=False, default=1),
    Column("limit_id", Text),
    Column("properties", _Json),
    Column("created_timestamp", BigInteger, nullable=False),
    Index("payi_use_case_instances_created", "application_id", "use_case_name", "created_timestamp", "use_case_id"),
)

kpis = Table(
    "payi_kpis",
    metadata,
    _application(),
    Column("use_case_name", String(64), primary_key=True),
    Column("kpi_name", Text, primary_key=True),
    Column("description", Text, nullable=False),
    Column("kpi_type", String(16), nullable=False),
    Column("goal", Text, nullable=False),
    Column("created_timestamp", BigInteger, nullable=False),
    Column("updated_timestamp", BigInteger, nullable=False),
)

kpi_scores = Table(
    "payi_kpi_scores",
    metadata,
    _application(),
    Column("use_case_name", String(64), primary_key=True),
    Column("use_case_id", Text, primary_key=True),
    Column("kpi_name", Text, primary_key=True),
    Column("score", Text),
    Column("type_version", Integer, nullable=False),
    Column("created_timestamp", BigInteger, nullable=False),
    Column("updated_timestamp", BigInteger, nullable=False),
)

resources = Table(
    "payi_resources",
    metadata,
    _application(),
    Column("category", String(256), primary_key=True),
    Column("resource", String(256), primary_key=True),
    Column("resource_id", String(36), primary_key=True),
    Column("units", _Json, nullable=False),
    Column("max_input_units", BigInteger),
    Column("max_output_units", BigInteger),
    Column("max_total_units", BigInteger),
    Column("start_timestamp", BigInteger, nullable=False),
    Column("created_timestamp", BigInteger, nullable=False),
    Column("deleted_timestamp", BigInteger),
)

price_revisions = Table(
    "payi_price_revisions",
    metadata,
    _application(),
    Column("revision", BigInteger, nullable=False),
)
"""How often an application's own resources were changed, so that every process knows when to read them again."""

catalogues = Table(
    "payi_catalogues",
    metadata,
    Column("catalogue_id", String(64), primary_key=True),
    Column("effective_timestamp", BigInteger, nullable=False),
    # Nothing of the editions that come with a version of genai-prices: they are in that package.
    Column("data", LargeBinary, nullable=False),
)

# --- what the dashboard reads ---------------------------------------------------------------------------------------

unpriced = Table(
    "payi_unpriced",
    metadata,
    _application(),
    Column("resource_key", BigInteger, primary_key=True, autoincrement=False),
    Column("unit", String(128), primary_key=True),
    Column("category", Text, nullable=False),
    Column("resource", Text),
    Column("requests", BigInteger, nullable=False),
    Column("input_units", BigInteger, nullable=False),
    Column("output_units", BigInteger, nullable=False),
    Column("first_timestamp", BigInteger, nullable=False),
    Column("last_timestamp", BigInteger, nullable=False),
)
"""What was used and has no price, by unit. The row without a unit's name counts requests whose resource is unknown."""

names = Table(
    "payi_names",
    metadata,
    _application(),
    Column("kind", SmallInteger, primary_key=True, autoincrement=False),
    Column("key", BigInteger, primary_key=True, autoincrement=False),
    Column("value", Text, nullable=False),
)

batches = Table(
    "payi_batches",
    metadata,
    _application(),
    Column("batch", BigInteger, primary_key=True, autoincrement=False),
    Column("requests", Integer, nullable=False),
)
"""What was booked and is not added up in `rollups` yet."""

rollups = Table(
    "payi_rollups",
    metadata,
    _application(),
    Column("kind", SmallInteger, primary_key=True, autoincrement=False),
    Column("bucket", Integer, primary_key=True, autoincrement=False),
    Column("key1", BigInteger, primary_key=True, autoincrement=False),
    Column("key2", BigInteger, primary_key=True, autoincrement=False),
    Column("requests", BigInteger, nullable=False),
    Column("failed", BigInteger, nullable=False),
    Column("blocked", BigInteger, nullable=False),
    Column("input_tokens", BigInteger, nullable=False),
    Column("output_tokens", BigInteger, nullable=False),
    Column("input_cost_micros", BigInteger, nullable=False),
    Column("input_cost_rest", BigInteger, nullable=False),
    Column("output_cost_micros", BigInteger, nullable=False),
    Column("output_cost_rest", BigInteger, nullable=False),
    Column("latency_ms", BigInteger, nullable=False),
    Column("timed", BigInteger, nullable=False),
    # One name over a long time; the primary key leads to all names of a time.
    Index("payi_rollups_keys", "application_id", "kind", "key1", "key2", "bucket"),
    sqlite_with_rowid=False,
)
"""Sums of requests by hour, or by day where that is long ago, and by up to two names."""

extremes = Table(
    "payi_extremes",
    metadata,
    _application(),
    Column("kind", SmallInteger, primary_key=True, autoincrement=False),
    Column("day", Integer, primary_key=True, autoincrement=False),
    Column("value", BigInteger, primary_key=True, autoincrement=False),
    Column("request_id", String(40), primary_key=True),
    sqlite_with_rowid=False,
)
"""The dearest and the slowest requests of each day."""
