"""A resource: what its units cost, and what a request cost by that."""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import NamedTuple

from payi_middleware.service.store.money import Amount, join
from payi_middleware.service.units import LARGE_CONTEXT, Counts, Units, split_large_context, tokens

from .rates import Rate, UnitRates, as_table
from .tiers import tiers_in

__all__ = ["Price", "Resource", "stable_id"]

_NAMESPACE = uuid.uuid5(uuid.NAMESPACE_DNS, "resources.payi-middleware")
_REQUEST_FEE = "request"
_NO_UNIT = UnitRates(None, None)
_REMEMBERED = 512
"""Names of units whose rates are remembered: reports may name any."""


class Price(NamedTuple):
    """What a request cost, in USD, and the counters that no price is known for."""

    input: Decimal
    output: Decimal
    unknown: dict[str, Counts]


@dataclass(frozen=True)
class Resource:
    """One version of a resource's prices.

    Args:
        resource_id: the same for the same category, name and prices, in every process; a new price is a new id.
        category, name: as the event named them.
        rates: USD per single unit.
        warnings: what is uncertain about these prices, for everybody who is charged by them.
    """

    resource_id: str
    category: str
    name: str
    rates: Mapping[str, UnitRates]
    warnings: tuple[str, ...] = ()
    tiers: frozenset[str] = field(init=False)
    """The service tiers that have prices of their own."""
    _found: dict[tuple[str, str | None], UnitRates] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "tiers", tiers_in(self.rates))
        object.__setattr__(self, "_found", {})

    def price(self, units: Units, *, tier: str | None = None, succeeded: bool = True, summed: bool = False) -> Price:
        """Add up count times rate over all units, exactly; see `charge`."""
        cost, unknown = self.charge(units, tier=tier, succeeded=succeeded, summed=summed)
        return Price(join(*Amount.of(cost[0])), join(*Amount.of(cost[1])), unknown)

    def charge(
        self, units: Units, *, tier: str | None = None, succeeded: bool = True, summed: bool = False
    ) -> tuple[tuple[int, int], dict[str, Counts]]:
        """Return what a request costs in quanta (see `money`), for input and output, and the units without a price.

        Prices that grow with the context follow the request's own input tokens, however its units are named.
        A provider's fee per request is added to the input of a call that succeeded and used anything.

        Args:
            units: what the request used.
            tier: the service tier it was served in, see `tiers`.
            succeeded: the provider's call did.
            summed: the units are those of many requests, whose sum says nothing of their contexts.
        """
        input_tokens = 0 if summed else tokens(units).input
        cost = [0, 0]
        unknown: dict[str, Counts] = {}
        for unit, counts in self._with_fee(units, succeeded).items():
            rates = self._found.get((unit, tier)) or self._rates_of(unit, tier)
            for side in (0, 1):
                count, rate = counts[side], rates[side]
                if count and rate is None:
                    left = unknown.get(unit, Counts())
                    unknown[unit] = left._replace(output=count) if side else left._replace(input=count)
                elif count and rate is not None:
                    cost[side] += rate.cost(count, input_tokens, large_context=unit.endswith(LARGE_CONTEXT))
        return (cost[0], cost[1]), unknown

    def split(
        self, units: Units, *, tier: str | None = None, succeeded: bool = True, summed: bool = False
    ) -> dict[str, tuple[int | None, int | None]]:
        """Return what each unit's counters cost in quanta; None where no price is known. See `charge`."""
        input_tokens = 0 if summed else tokens(units).input
        costs: dict[str, tuple[int | None, int | None]] = {}
        for unit, counts in self._with_fee(units, succeeded).items():
            rates = self._rates_of(unit, tier)
            sides = [
                None if rate is None else rate.cost(count, input_tokens, large_context=unit.endswith(LARGE_CONTEXT))
                for count, rate in zip(counts, rates, strict=True)
            ]
            costs[unit] = (sides[0], sides[1])
        return costs

    def _rates_of(self, unit: str, tier: str | None) -> UnitRates:
        """Return the rates of a unit in a service tier; each of its counters may have its own only there or here."""
        plain, large = split_large_context(unit)
        names = [plain] if tier is None else [f"{plain}_{tier}", plain]
        if large:
            names = [of for name in names for of in (f"{name}{LARGE_CONTEXT}", name)]
        rows = [self.rates[name] for name in names if name in self.rates]
        found = UnitRates(_first(row.input for row in rows), _first(row.output for row in rows)) if rows else _NO_UNIT
        if len(self._found) >= _REMEMBERED:
            self._found.clear()
        return self._found.setdefault((unit, tier), found)

    def _with_fee(self, units: Units, succeeded: bool) -> Units:
        due = succeeded and units and _REQUEST_FEE in self.rates and _REQUEST_FEE not in units
        return {**units, _REQUEST_FEE: Counts(1, 0)} if due else units


def _first(rates: Iterable[Rate | None]) -> Rate | None:
    return next((rate for rate in rates if rate is not None), None)


def stable_id(category: str, name: str, rates: Mapping[str, UnitRates]) -> str:
    """Return the id of a resource of the catalogue: a digest of what it is called and what it costs."""
    return str(uuid.uuid5(_NAMESPACE, json.dumps([category, name, as_table(rates)])))
