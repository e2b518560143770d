"""What each unit of a request cost, worked out anew from the prices that it was charged by."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from payi_middleware.service.dashboard.queries.view import View
from payi_middleware.service.dashboard.tables import Row
from payi_middleware.service.prices.own import Pair
from payi_middleware.service.prices.tiers import is_summed, tier_of
from payi_middleware.service.store import clock
from payi_middleware.service.store.money import Amount, join, stored
from payi_middleware.service.units import Counts

__all__ = ["cost_split"]

_SIDES = ("input", "output")
_UNPRICED = "no price known"
_CHANGED = "its price was changed or deleted since"
Costs = Mapping[str, tuple[int | None, int | None]]


def cost_split(view: View, row: Mapping[Any, Any]) -> list[Row]:
    """Return a row for each unit of a stored request.

    Where its price is not to be had any more, or what comes out is not what was charged, counts come without costs, and
    a note says so.
    """
    counts = {unit: Counts(told.get("input") or 0, told.get("output") or 0) for unit, told in row["units"].items()}
    worked_out = _costs(view, row, counts)
    costs = worked_out or {}
    unknown = row["unknown_units"] or {}
    return [
        {
            "unit": unit,
            "input_count": counts[unit].input if unit in counts else None,
            "output_count": counts[unit].output if unit in counts else None,
            **_amounts(counts.get(unit, Counts(1, 0)), costs.get(unit, (None, None))),
            "note": _UNPRICED if unit in unknown else _CHANGED if worked_out is None else None,
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


def _costs(view: View, row: Mapping[Any, Any], counts: Mapping[str, Counts]) -> Costs | None:
    """Return what each unit cost, nothing of a request that has no price; None if that is not known any more."""
    if row["resource"] is None or row["resource_id"] is None or row["blocked"]:
        return {}
    pairs = {Pair(row["category"], row["resource"])}
    # Another process may have changed prices, and booked the request by them.
    known = view.prices.of(view.application_id, pairs)
    prices = view.prices.current(view.connection, view.application_id, known, pairs)
    at = clock.from_micros(row["event_timestamp"])
    resource = prices.find_again(row["resource_id"], row["category"], row["resource"], row["scope"], at)
    if resource is None:
        return None
    properties = row["properties"] or {}
    costs = resource.split(counts, tier=tier_of(properties), succeeded=not row["failed"], summed=is_summed(properties))
    charged = [stored(row[f"{side}_cost_micros"], row[f"{side}_cost_rest"]) for side in _SIDES]
    return costs if [sum(cost[side] or 0 for cost in costs.values()) for side in (0, 1)] == charged else None
