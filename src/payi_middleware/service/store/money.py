"""Exact money: USD as Decimal in answers, as two integers in the database, as one of quanta while it is added up.

No common SQL type is exact on every database (SQLite would add up floats), and one 64-bit integer of a fine enough
unit overflows at about nine thousand dollars. So an amount is stored as whole millionths of a dollar plus a rest in
quanta of 10^-15 dollars. Both are added up by SQL, each on its own, and joined when they are read.
"""

from __future__ import annotations

from contextlib import AbstractContextManager
from decimal import ROUND_CEILING, ROUND_HALF_EVEN, Context, Decimal, localcontext
from typing import NamedTuple, Self

_ONE = Decimal(1)
_REST_PER_MICRO = 1_000_000_000
_QUANTUM_EXPONENT = -15
_WHOLE = 10**-_QUANTUM_EXPONENT
_QUANTUM = Decimal(1).scaleb(_QUANTUM_EXPONENT)
_EXACT = Context(prec=60, rounding=ROUND_HALF_EVEN)


class Amount(NamedTuple):
    """An amount as it is stored. After sums the rest may exceed a millionth: only `join` and `stored` read it."""

    micros: int
    rest: int

    @classmethod
    def of(cls, quanta: int) -> Self:
        """Return an amount of quanta, >= 0."""
        return cls._make(divmod(quanta, _REST_PER_MICRO))


def exact() -> AbstractContextManager[Context]:
    """Compute with more digits than money has, whatever the app set for its own decimals."""
    return localcontext(_EXACT)


def quanta(usd: Decimal) -> int:
    """Return an amount of USD in quanta of 10^-15; what is below is rounded half to even."""
    return int(_EXACT.divide(usd, _QUANTUM).to_integral_value(ROUND_HALF_EVEN, _EXACT))


def in_quanta(usd: Decimal) -> Decimal:
    """Return an amount of USD in quanta, not rounded."""
    return _EXACT.divide(usd, _QUANTUM)


def as_quanta(amount: Decimal | int) -> int:
    """Round an amount of quanta up."""
    return int(Decimal(amount).to_integral_value(ROUND_CEILING, _EXACT))


def stored(micros: int, rest: int) -> int:
    """Return the quanta of stored integers, or of sums of them."""
    return micros * _REST_PER_MICRO + rest


def split(usd: Decimal) -> Amount:
    """Split an amount of USD, >= 0, into what is stored; digits below 10^-15 USD are rounded half to even."""
    return Amount.of(quanta(usd))


def join(micros: int, rest: int) -> Decimal:
    """Return the USD of stored integers, or of the sums of them, without trailing zeros."""
    amount = stored(micros, rest)
    usd = Decimal(amount).scaleb(_QUANTUM_EXPONENT, _EXACT)
    return usd.normalize(_EXACT) if amount % _WHOLE else plain(usd)


def plain(usd: Decimal) -> Decimal:
    """Drop trailing zeros and write no exponent for whole numbers: 100.00 becomes 100, not 1E+2."""
    short = usd.normalize(_EXACT)
    return short.quantize(_ONE, context=_EXACT) if short == short.to_integral_value(context=_EXACT) else short


def as_decimal(value: object) -> Decimal | None:
    """Read a number as the decimal a person would write for it (0.1 is 0.1); None for anything but a finite number."""
    if isinstance(value, bool) or not isinstance(value, int | float | Decimal):
        return None
    number = Decimal(repr(value)) if isinstance(value, float) else Decimal(value)
    return number if number.is_finite() else None
