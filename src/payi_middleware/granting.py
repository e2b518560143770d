"""How a budget is shared out: what one of several processes may hold of it. Pure arithmetic, in quanta of 10^-9 USD.

A process holds what its calls may still cost. What it asks for comes in two parts: the call that waits longest, and
all that wait. While much is left it gets a part on top, so that the next calls need not ask.
"""

from __future__ import annotations

from decimal import ROUND_CEILING, ROUND_FLOOR, Decimal, localcontext
from typing import NamedTuple

__all__ = ["QUANTUM", "Asked", "grant", "quanta_above", "quanta_below"]

QUANTUM = Decimal("1e-9")
"""USD. Below it is nothing that a provider charges for; what is lost by rounding stays below a millionth of a call."""

_PLENTY = 20
"""How many times what is asked for must be left for a process to hold some of it in advance."""
_ADVANCE = 8
"""The part of what is left that it then holds: one to so many."""


class Asked(NamedTuple):
    """What a process holds already for calls under way, and what it asks for: the next call, and all that wait."""

    in_use: int
    first: int = 0
    total: int = 0


def grant(maximum: int, spent: int, others: int, asked: Asked) -> int:
    """Return what a process may hold of a budget.

    A call may go out as long as what was spent is below the maximum, so the last one may cost more than what is left;
    it does so alone, when nobody has any other call under way.

    Args:
        maximum: of the budget.
        spent: what the budget was charged with.
        others: what other processes hold.
        asked: what this one asks for; all in the same unit.

    Returns:
        At least what it has in use.
    """
    left = maximum - spent - others - asked.in_use
    if asked.total and asked.first <= left:
        total = min(asked.total, left)
        rest = left - total
        return asked.in_use + total + (rest // _ADVANCE if rest >= _PLENTY * max(total, 1) else 0)
    alone = asked.in_use == 0 and others == 0
    return asked.first if alone and spent < maximum else asked.in_use


def quanta_above(usd: Decimal) -> int:
    """Return an amount of USD in quanta, rounded up: what a call may cost."""
    return _quanta(usd, ROUND_CEILING)


def quanta_below(usd: Decimal) -> int:
    """Return an amount of USD in quanta, rounded down: what was spent."""
    return _quanta(usd, ROUND_FLOOR)


def _quanta(usd: Decimal, rounding: str) -> int:
    with localcontext() as context:
        context.prec = 60
        return int((usd / QUANTUM).to_integral_value(rounding))
