"""Amounts in quanta of 10^-9 USD: integers that Python, SQL and Redis add up exactly."""

from __future__ import annotations

from decimal import Decimal, InvalidOperation

from payi_middleware.granting import QUANTUM, quanta_above, quanta_below

__all__ = ["floor", "roof", "usd"]

roof = quanta_above


def floor(amount: object) -> int | None:
    """Return an amount of USD out of an answer in quanta, rounded down. None if it is no number."""
    if isinstance(amount, bool) or not isinstance(amount, int | float | Decimal):
        return None
    try:
        return quanta_below(Decimal(str(amount)))
    except (InvalidOperation, ValueError, OverflowError):
        return None


def usd(quanta: int) -> Decimal:
    """Return quanta as USD."""
    return quanta * QUANTUM
