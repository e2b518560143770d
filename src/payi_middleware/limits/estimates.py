"""What a call may cost, before it is made; and what it cost, before Pay-i says so. Both are labelled as estimates."""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Mapping
from decimal import Decimal
from time import monotonic
from typing import Any, NamedTuple

from payi_middleware.results import Cost, CostPart, XproxyResult

__all__ = ["Accuracy", "Costs", "Rates", "Resource", "output_asked"]

Resource = tuple[str, str]
"""Pay-i's category, and the resource's name."""

_KNOWN = 2_000
_FRESH, _ASKED_AGAIN = 3600.0, 60.0
"""Seconds after which prices are asked for again that are known, as they change, and that could not be had."""
_BYTES_PER_TOKEN = 3
"""Fewer than any tokenizer needs for prose and JSON, so that a prompt is rather taken for too long."""
_UNSAID_OUTPUT = 1_000
"""Tokens of an answer whose length the request does not bound; the dearest call seen of its model counts if higher."""
_UNKNOWN_COST = Decimal("0.01")
"""USD that a call of an unknown model is taken to cost until one has been answered."""
_ENDS = 4_096
_MOST_TOKENS = (
    rb'"(?:max_tokens|max_completion_tokens|max_output_tokens|maxOutputTokens|maxTokens|max_gen_len|max_new_tokens'
    rb'|num_predict|maxTokenCount|max_tokens_to_sample)"\s*:\s*(\d{1,8})'
)
_STANDS_FOR = {"_cache_read": "", "_cache_write": "", "_cache_write_1h": "_cache_write", "_large_context": ""}


class Rates(NamedTuple):
    """USD per single unit: (input, output) by the name of the unit; None where there is no price."""

    by_unit: Mapping[str, tuple[Decimal | None, Decimal | None]]

    def of(self, unit: str, side: int) -> Decimal | None:
        """Return the price of a unit; what has none is charged as what it is a kind of."""
        while (found := self.by_unit.get(unit, (None, None))[side]) is None:
            if unit in ("text", ""):
                return None
            unit = next((unit.removesuffix(end) + to for end, to in _STANDS_FOR.items() if unit.endswith(end)), "text")
        return found


def output_asked(body: bytes | None) -> int | None:
    """Return the tokens that a request bounds its answer to; SDKs put the prompt between the small members."""
    if not body:
        return None
    ends = body if len(body) <= 2 * _ENDS else body[:_ENDS] + b"\0" + body[-_ENDS:]
    told = [int(number) for number in re.findall(_MOST_TOKENS, ends)]
    return max(told) if told else None


class Accuracy:
    """How far estimates were off: the mean of |estimate - cost| / cost over what was estimated and is known now."""

    def __init__(self) -> None:
        self.count = 0
        self._off = 0.0
        self._lock = threading.Lock()

    def add(self, estimate: Decimal, cost: Decimal) -> None:
        """Compare an estimate with the final figure, both in USD."""
        if cost <= 0:
            return
        with self._lock:
            self.count += 1
            self._off += float(abs(estimate - cost) / cost)

    @property
    def error(self) -> float | None:
        """The mean relative error; None before there was anything to compare."""
        return self._off / self.count if self.count else None


_UNASKED: tuple[Rates | None, float] = None, 0.0


class Costs:
    """Estimate calls from prices in memory; what is not there is asked for, and known the next time.

    Args:
        ask: is told of a resource whose prices are not known, or not of late, on the app's thread: it only takes note
            of it.
        clock: seconds that never go back.
    """

    def __init__(self, ask: Callable[[Resource], None], clock: Callable[[], float] = monotonic) -> None:
        self._ask = ask
        self._clock = clock
        self._rates: dict[Resource, tuple[Rates | None, float]] = {}
        self._dearest: dict[Resource, Decimal] = {}
        self.accuracy = Accuracy()

    def learn(self, resource: Resource, rates: Rates | None, *, provisional: bool = False) -> None:
        """Take note of a resource's prices; None says that it has none.

        Args:
            provisional: somebody who may know better could not be asked; prices that are known stay in use.
        """
        if provisional or rates is None:
            rates = self._rates.get(resource, _UNASKED)[0] or rates
            provisional = True
        if resource not in self._rates and len(self._rates) >= _KNOWN:
            self._rates.clear()
        self._rates[resource] = rates, self._clock() + (_ASKED_AGAIN if provisional else _FRESH)

    def prepare(self, resource: Resource) -> None:
        """Have the prices of a resource looked up, if they are not known."""
        self._known(resource)

    def seen(self, resource: Resource, cost: Decimal) -> None:
        """Take note of what a call of a resource cost, in USD."""
        if len(self._dearest) >= _KNOWN:
            self._dearest.clear()
        self._dearest[resource] = max(cost, self._dearest.get(resource, cost))

    def upper(self, resource: Resource, body: bytes | None) -> Decimal:
        """Return what a call may cost at most, in USD, by the size of its prompt and the answer that it allows."""
        rates = self._known(resource)
        dearest = self._dearest.get(resource)
        if rates is None:
            return _UNKNOWN_COST if dearest is None else dearest
        asked = output_asked(body)
        prompt = Decimal(len(body or b"") // _BYTES_PER_TOKEN)
        bound = prompt * (rates.of("text", 0) or 0) + (asked or _UNSAID_OUTPUT) * (rates.of("text", 1) or 0)
        return max(bound, dearest) if dearest is not None and asked is None else bound

    def of_units(self, resource: Resource, units: Mapping[str, Mapping[str, int]]) -> XproxyResult | None:
        """Return what a call cost by its usage, as the cost of a result; None where the prices are not known."""
        rates = self._known(resource)
        if rates is None or not units:
            return None
        sides = [Decimal(0), Decimal(0)]
        for unit, counts in units.items():
            for side, name in enumerate(("input", "output")):
                sides[side] += counts.get(name, 0) * (rates.of(unit, side) or 0)
        parts = [CostPart(base=amount) for amount in (*sides, sum(sides, Decimal(0)))]
        return XproxyResult(cost=Cost(input=parts[0], output=parts[1], total=parts[2]))

    def _known(self, resource: Resource) -> Rates | None:
        rates, until = self._rates.get(resource, _UNASKED)
        if self._clock() >= until:
            self._ask(resource)
        return rates


def rates_of_answer(answer: Any) -> Rates | None:
    """Read the prices out of Pay-i's answer about a resource, the version in force first.

    See https://docs.pay-i.com/reference; a page of versions, or one of them.
    """
    versions = answer.get("items", [answer]) if isinstance(answer, Mapping) else []
    known = [version for version in versions if isinstance(version, Mapping) and isinstance(version.get("units"), dict)]
    if not known:
        return None
    newest = max(known, key=lambda version: (bool(version.get("active")), str(version.get("start_timestamp"))))
    return Rates({unit: _pair(prices) for unit, prices in newest["units"].items() if isinstance(prices, Mapping)})


def _pair(prices: Mapping[str, Any]) -> tuple[Decimal | None, Decimal | None]:
    return _price(prices.get("input_price")), _price(prices.get("output_price"))


def _price(value: Any) -> Decimal | None:
    return Decimal(str(value)) if isinstance(value, int | float) and not isinstance(value, bool) else None
