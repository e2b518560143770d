"""What each unit of a request cost, worked out anew from the prices that were in force."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from payi_middleware.service.dashboard.queries.view import View
from payi_middleware.service.dashboard.tables import Row
from payi_middleware.service.prices.own import Pair
from payi_middleware.service.prices.tiers import tier_of
from payi_middleware.service.store import clock
from payi_middleware.service.store.money import Amount, join, stored
from payi_middleware.service.units import Counts

__all__ = ["cost_split"]

_SIDES = ("input", "output")
_UNPRICED = "no price known"
Costs = Mapping[str, tuple[int | None, int | None]]


def cost_split(view: View, row: Mapping[Any, Any]) -> list[Row]:
    """Return a row for each unit of a stored request.

    Where its price is not to be had any more, or what comes out is not what was charged, counts come without costs.
    """
    counts = {unit: Counts(told.get("input") or 0, told.get("output") or 0) for unit, told in row["units"].items()}
    costs = _costs(view, row, counts)
    unknown = row["unknown_units"] or {}
    return [
        {
            "unit": unit,
            "input_count": counts[unit].input if unit in counts else None,
            "output_count": counts[unit].output if unit in counts else None,
            **_amounts(counts.get(unit, Counts(1, 0)), costs.get(unit, (None, None))),
            "note": _UNPRICED if unit in unknown else None,
        }
        for unit in sorted({*counts, *costs})
    ]


def _amounts(count: Counts, cost: tuple[int | None, int | None]) -> dict[str, Decimal | None]:
    sides = [quanta if number else None for number, quanta in zip(count, cost, strict=True)]
    known = [quanta for quanta in sides if quanta is not None]
    amounts = [
        None if quanta is None else join(*Amount.of(quanta)) for quanta in (*sides, sum(known) if known else None)
    ]
    return {"input_cost": amounts[0], "output_cost": amounts[1], "cost": amounts[2]}


def _costs(view: View, row: Mapping[Any, Any], counts: Mapping[str, Counts]) -> Costs:
    if row["resource"] is None or row["resource_id"] is None or row["blocked"]:
        return {}
    prices = view.prices.of(view.application_id, {Pair(row["category"], row["resource"])})
    at = clock.from_micros(row["event_timestamp"])
    resource = prices.find(row["category"], row["resource"], row["scope"], at)
    if resource is None or resource.resource_id != row["resource_id"]:
        return {}
    costs = resource.split(counts, tier=tier_of(row["properties"] or {}), succeeded=not row["failed"])
    charged = [stored(row[f"{side}_cost_micros"], row[f"{side}_cost_rest"]) for side in _SIDES]
    return costs if [sum(cost[side] or 0 for cost in costs.values()) for side in (0, 1)] == charged else {}
