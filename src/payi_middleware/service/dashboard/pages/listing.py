"""Requests as rows of tables."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from payi_middleware.service.accounts.records import total_cost
from payi_middleware.service.dashboard.filters import Dimension
from payi_middleware.service.dashboard.tables import Cell, Column, Name, Row
from payi_middleware.service.store.money import join

from .context import LACKING, Page

__all__ = ["COLUMNS", "request_row", "status_of"]

COLUMNS = (
    Column("time", "Time (UTC)", Cell.TIME),
    Column("request_id", "Request", Cell.NAME, heads=True),
    Column("status", "Status", Cell.STATE),
    Column("resource", "Model", Cell.NAME),
    Column("user", "User", Cell.NAME),
    Column("use_case", "Use case", Cell.NAME),
    Column("cost", "Cost", Cell.MONEY),
    Column("input_tokens", "Tokens in", Cell.COUNT),
    Column("output_tokens", "Tokens out", Cell.COUNT),
    Column("latency_ms", "Latency", Cell.DURATION),
    Column("category", ""),
    Column("account", ""),
    Column("use_case_id", ""),
    Column("step", ""),
    Column("http_status_code", ""),
    Column("input_cost", "", Cell.MONEY),
    Column("output_cost", "", Cell.MONEY),
)


def status_of(row: Mapping[Any, Any]) -> str:
    """Return what became of a request."""
    if row["blocked"]:
        return "blocked"
    return "failed" if row["failed"] else "ok"


def request_row(page: Page, row: Mapping[Any, Any]) -> Row:
    """Return a stored request as a row of a table."""
    about = page.filters.without(*Dimension, "status")

    def name(dimension: Dimension, text: str | None, **more: str | None) -> Name:
        values = {**{Dimension(key): value for key, value in more.items()}, dimension: text}
        return Name(text, page.url("/", about.having(values)), LACKING[dimension])

    return {
        "time": row["event_timestamp"],
        "request_id": Name(
            row["request_id"], page.plain_url("requests", row["request_id"]), short=f"…{row['request_id'][-10:]}"
        ),
        "status": status_of(row),
        "resource": name(Dimension.RESOURCE, row["resource"], category=row["category"]),
        "user": name(Dimension.USER, row["user_id"]),
        "use_case": name(Dimension.USE_CASE, row["use_case_name"]),
        "cost": total_cost(row),
        "input_tokens": row["input_tokens"],
        "output_tokens": row["output_tokens"],
        "latency_ms": row["end_to_end_latency_ms"],
        "category": row["category"],
        "account": row["account_name"],
        "use_case_id": row["use_case_id"],
        "step": row["use_case_step"],
        "http_status_code": row["http_status_code"],
        "input_cost": join(row["input_cost_micros"], row["input_cost_rest"]),
        "output_cost": join(row["output_cost_micros"], row["output_cost_rest"]),
    }
