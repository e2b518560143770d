"""The catalogue: which resource a request used, and what it cost at the time."""

from __future__ import annotations

import json
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from functools import lru_cache
from typing import TYPE_CHECKING, NamedTuple

from .categories import model_names, provider_of
from .money import exact, plain
from .rates import UnitRates, as_table, unit_rates
from .units import Counts, Units, split_large_context, tokens

if TYPE_CHECKING:
    from genai_prices.types import ModelInfo

_NAMESPACE = uuid.uuid5(uuid.NAMESPACE_DNS, "resources.payi-middleware")
_KNOWN_MODELS = 4096
_REQUEST_FEE = "request"
_NO_UNIT = UnitRates(None, None)


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
    """

    resource_id: str
    category: str
    name: str
    rates: Mapping[str, UnitRates]

    def price(self, units: Units, *, succeeded: bool = True) -> Price:
        """Add up count times rate over all units, exactly.

        Prices that grow with the context follow the request's own input tokens, however its units are named.
        A provider's fee per request is added to the input of a call that succeeded and used anything.
        """
        input_tokens = tokens(units).input
        cost = [Decimal(0), Decimal(0)]
        unknown: dict[str, Counts] = {}
        with exact():
            for unit, counts in self._with_fee(units, succeeded).items():
                plain_unit, large = split_large_context(unit)
                left = [0, 0]
                for side, (count, rate) in enumerate(zip(counts, self.rates.get(plain_unit, _NO_UNIT), strict=True)):
                    if count and rate is None:
                        left[side] = count
                    elif count and rate is not None:
                        cost[side] += count * rate.at(input_tokens, large_context=large)
                if any(left):
                    unknown[unit] = Counts(*left)
            return Price(plain(cost[0]), plain(cost[1]), unknown)

    def _with_fee(self, units: Units, succeeded: bool) -> Units:
        due = succeeded and units and _REQUEST_FEE in self.rates and _REQUEST_FEE not in units
        return {**units, _REQUEST_FEE: Counts(1, 0)} if due else units


def find_resource(category: str, resource: str | None, at: datetime) -> Resource | None:
    """Return the version of a resource that was in force at a time, or None if the catalogue has no price for it."""
    if resource is None:
        return None
    found = _find_model(category, resource)
    return None if found is None else found.at(at)


class _Model:
    """A model of the catalogue under the name an event gave it; its price versions are worked out once each."""

    def __init__(self, category: str, name: str, provider: str, info: ModelInfo) -> None:
        self._category = category
        self._name = name
        self._provider = provider
        self._info = info
        self._versions: dict[int, Resource] = {}

    def at(self, at: datetime) -> Resource:
        prices = self._info.get_prices(at)
        # `info` keeps its prices alive, so that an id stands for one of them; two threads at worst work it out twice.
        if (known := self._versions.get(id(prices))) is not None:
            return known
        rates = unit_rates(prices, self._provider, self._info.id)
        key = json.dumps([self._category, self._name, as_table(rates)])
        resource = Resource(str(uuid.uuid5(_NAMESPACE, key)), self._category, self._name, rates)
        return self._versions.setdefault(id(prices), resource)


@lru_cache(maxsize=_KNOWN_MODELS)
def _find_model(category: str, resource: str) -> _Model | None:
    from genai_prices import Usage, calc_price  # heavy (1.6 MB of data), and only the ledger's thread needs it

    provider = provider_of(category)
    for name in dict.fromkeys(model_names(provider, resource)):
        try:
            found = calc_price(Usage(), name, provider_id=provider)
        except LookupError:
            continue
        # The catalogue also matches parts of a provider's name; a category "my-openai-gateway" has its own prices.
        if found.provider.id == provider:
            return _Model(category, resource, provider, found.model)
    return None
