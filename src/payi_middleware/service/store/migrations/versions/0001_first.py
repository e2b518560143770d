"""The tables of the first version, which knew one application and one SQLite file."""

from __future__ import annotations

from alembic import op
from sqlalchemy import JSON, BigInteger, Boolean, Column, Integer, String, Text, UniqueConstraint

revision = "0001"
down_revision = None

_STATES = ("ok", "blocked", "blocked_external", "exceeded", "overrun", "failed")
_Serial = BigInteger().with_variant(Integer, "sqlite")
_Json = JSON(none_as_null=True)


def _money(*names: str) -> list[Column[int]]:
    columns = [f"{name}_{part}" for name in names for part in ("micros", "rest")]
    return [Column(name, BigInteger, nullable=False, default=0) for name in columns]


def upgrade() -> None:
    """Make them."""
    op.create_table("payi_schema", Column("version", Integer, primary_key=True))
    op.create_table(
        "payi_requests",
        Column("id", _Serial, primary_key=True, autoincrement=True),
        Column("request_id", String(64), nullable=False, unique=True),
        Column("category", Text, nullable=False),
        *(Column(name, Text) for name in ("resource", "resource_id", "provider_response_id")),
        *(Column(name, String(27), nullable=False) for name in ("event_timestamp", "ingest_timestamp")),
        Column("http_status_code", Integer),
        Column("failed", Boolean, nullable=False),
        *(
            Column(f"{name}_ms", BigInteger)
            for name in ("end_to_end_latency", "time_to_first_token", "time_to_first_completion_token")
        ),
        *(Column(name, Text) for name in ("user_id", "account_name", "use_case_name", "use_case_id", "use_case_step")),
        Column("use_case_version", BigInteger),
        Column("scope", Text),
        *(Column(name, _Json) for name in ("request_tags", "properties", "use_case_properties")),
        Column("units", _Json, nullable=False),
        *(Column(name, _Json) for name in ("unknown_units", "warnings", "exchange")),
        *(Column(name, BigInteger, nullable=False) for name in ("input_tokens", "output_tokens")),
        *_money("input_cost", "output_cost", "overrun"),
        UniqueConstraint("category", "provider_response_id"),
    )
    op.create_index("payi_requests_user", "payi_requests", ["user_id"])
    op.create_table(
        "payi_request_limits",
        Column("request_id", String(64), primary_key=True),
        Column("position", Integer, primary_key=True),
        Column("limit_id", Text, nullable=False),
        Column("state", String(16), nullable=False),
    )
    op.create_table(
        "payi_limits",
        Column("id", _Serial, primary_key=True, autoincrement=True),
        *(Column(name, Text, nullable=False, unique=True) for name in ("limit_id", "limit_name")),
        Column("limit_type", String(8), nullable=False),
        Column("max", Text, nullable=False),
        Column("threshold", Text),
        *(Column(f"limit_{name}_timestamp", String(27), nullable=False) for name in ("creation", "update")),
        *_money("input_cost", "output_cost"),
        *(Column(state, BigInteger, nullable=False, default=0) for state in _STATES),
    )
    op.create_table(
        "payi_use_case_instances",
        Column("id", _Serial, primary_key=True, autoincrement=True),
        Column("use_case_name", String(64), nullable=False),
        Column("use_case_id", Text, nullable=False),
        Column("properties", _Json),
        Column("created_timestamp", String(27), nullable=False),
        UniqueConstraint("use_case_name", "use_case_id"),
    )
