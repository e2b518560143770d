"""What requests do to limits: in which state each of them leaves a limit, added up so that a limit is written once."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from payi_middleware.service.store.money import Amount, as_quanta, in_quanta, stored
from payi_middleware.service.store.schema import STATES

from . import limits
from .events import Event


@dataclass(slots=True)
class Charged:
    """What a request did to its limits: the state that it left each in, and the warnings that come of it.

    `overrun` is the largest part of its cost that lies above a limit's maximum, in quanta.
    """

    states: dict[str, str] = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)
    overrun: int = 0


_NOTHING = Charged()


class _Account:
    """A limit while requests are charged to it. Amounts are in quanta, see `money`."""

    __slots__ = ("blocks", "input", "maximum", "output", "risk", "spend", "states")

    def __init__(self, row: Mapping[Any, Any]) -> None:
        self.maximum = in_quanta(Decimal(row["max"]))
        self.risk: Decimal = self.maximum * (limits.optional(row["threshold"]) or 1)
        self.spend: int = sum(
            stored(row[f"{side}_cost_micros"], row[f"{side}_cost_rest"]) for side in ("input", "output")
        )
        self.blocks = row["limit_type"] == limits.BLOCK
        self.input = self.output = 0
        self.states = dict.fromkeys(STATES, 0)

    def state(self) -> str:
        if self.spend > self.maximum:
            return "overrun"
        return "exceeded" if self.spend >= self.risk else "ok"

    def sums(self) -> dict[str, int]:
        amounts = (*Amount.of(self.input), *Amount.of(self.output))
        return {**dict(zip(limits.COSTS, amounts, strict=True)), **self.states}


class Charges:
    """Charge requests to limits, one after the other.

    Args:
        rows: the limits as they are stored, locked.
    """

    def __init__(self, rows: Iterable[Mapping[Any, Any]]) -> None:
        self._accounts = {row["limit_id"]: _Account(row) for row in rows}
        self._touched: set[str] = set()

    def has(self, limit_id: str) -> bool:
        """Return whether there is such a limit."""
        return limit_id in self._accounts

    def add(self, event: Event, limit_ids: Sequence[str], input_cost: int, output_cost: int) -> Charged:
        """Charge a request.

        Args:
            event: the request.
            limit_ids: the limits it counts against; all of them exist.
            input_cost, output_cost: what it cost, in quanta.
        """
        if not limit_ids:
            return _NOTHING
        charged = Charged()
        cost = input_cost + output_cost
        for limit_id in limit_ids:
            account = self._accounts[limit_id]
            self._touched.add(limit_id)
            account.spend += cost
            account.input += input_cost
            account.output += output_cost
            state = _refused(event, limit_id) or ("failed" if event.failed else account.state())
            account.states[state] += 1
            charged.states[limit_id] = state
            if account.spend > account.maximum:
                above = min(Decimal(cost), account.spend - account.maximum)
                charged.overrun = max(charged.overrun, as_quanta(above))
            if account.blocks and not event.proxied:
                charged.warnings.append(
                    f"limit {limit_id} is of type block, which cannot stop a call that was already made"
                )
        return charged

    def sums(self) -> dict[str, dict[str, int]]:
        """Return what is to be added to each limit that was charged."""
        return {limit_id: self._accounts[limit_id].sums() for limit_id in self._touched}


def _refused(event: Event, limit_id: str) -> str | None:
    if not event.blocked_by:
        return None
    return "blocked" if limit_id in event.blocked_by else "blocked_external"
