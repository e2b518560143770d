"""Limits: as they stand, and their past periods."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal

from sqlalchemy import RowMapping, select

from payi_middleware.service.accounts.limits import optional, spend
from payi_middleware.service.store.money import exact
from payi_middleware.service.store.schema import STATES, limit_periods, limits

from .view import View

__all__ = ["Budget", "all_budgets", "budget", "past_budgets"]


@dataclass(frozen=True, slots=True)
class Budget:
    """A limit in its current period, or in a past one. Amounts are USD.

    Args:
        state: "ok", "exceeded" (from its threshold on) or "overrun", as the next request would find it.
        begin, end: microseconds since 1970; a period that is not over has no end.
        counts: its requests, by the state that they left it in.
    """

    limit_id: str
    name: str
    type: str
    max: Decimal
    threshold: Decimal | None
    spent: Decimal
    counts: Mapping[str, int]
    begin: int
    end: int | None = None
    properties: Mapping[str, str] | None = None

    @property
    def used(self) -> float:
        """Which part of the maximum was spent; above 1 where it was overrun."""
        return float(self.spent) / float(self.max)

    @property
    def left(self) -> Decimal:
        """USD that are left; 0 where it was overrun."""
        with exact():
            return max(Decimal(), self.max - self.spent)

    @property
    def state(self) -> str:
        """The state that it is in."""
        if self.spent > self.max or (self.type == "block" and self.spent >= self.max):
            return "blocking" if self.type == "block" and self.end is None else "overrun"
        return "exceeded" if self.spent >= self.max * (self.threshold or 1) else "ok"

    @property
    def requests(self) -> int:
        """All of its requests."""
        return sum(self.counts.values())


def _budget(row: RowMapping, *, past: bool = False) -> Budget:
    return Budget(
        row["limit_id"],
        row["limit_name"],
        row["limit_type"],
        Decimal(row["max"]),
        optional(row["threshold"]),
        spend(row),
        {state: row[state] for state in STATES},
        row["period_start"],
        row["reset_timestamp"] if past else None,
        None if past else row["properties"],
    )


def all_budgets(view: View, limit: int | None = None) -> list[Budget]:
    """Return limits, those that are used most first."""
    query = select(limits).where(limits.c.application_id == view.application_id)
    found = [_budget(row) for row in view.connection.execute(query).mappings()]
    found.sort(key=lambda one: (-one.used, one.name))
    return found[:limit]


def budget(view: View, limit_id: str) -> Budget | None:
    """Return a limit."""
    query = select(limits).where(limits.c.application_id == view.application_id, limits.c.limit_id == limit_id)
    row = view.connection.execute(query).mappings().one_or_none()
    return None if row is None else _budget(row)


def past_budgets(view: View, limit_id: str) -> Sequence[Budget]:
    """Return a limit's past periods, the last one first; a limit that was deleted has them, too."""
    query = (
        select(limit_periods)
        .where(limit_periods.c.application_id == view.application_id, limit_periods.c.limit_id == limit_id)
        .order_by(limit_periods.c.period_start.desc())
    )
    return [_budget(row, past=True) for row in view.connection.execute(query).mappings()]
