"""How a transport takes a call to the gate before it sends it, from blocking code and from async code alike."""

from __future__ import annotations

from .calls import await_settled, wait
from .limits.refusal import Refusal
from .log import warn
from .owner import Admission
from .recorder import Exchange

__all__ = ["aadmit", "admit", "ask"]


def ask(exchange: Exchange) -> Admission | None:
    """Take a call to the gate; None if nothing limits it, as nearly all."""
    try:
        return exchange.ask()
    except Exception as error:  # noqa: BLE001 - fail open: what is wrong with us must not stop a call
        warn("gate", "The limits of a call could not be looked at: %s", type(error).__name__)
        return None


def admit(exchange: Exchange, admission: Admission) -> Refusal | None:
    """Wait for a call's turn, and return why it must not be made, if so; then it is on record as refused."""
    if admission.waits:
        try:
            wait((admission.turn,), admission.patience, patient=True)
        except BaseException:
            _withdraw(exchange, admission)
            raise
    return _conclude(exchange, admission)


async def aadmit(exchange: Exchange, admission: Admission) -> Refusal | None:
    """Wait for a call's turn on asyncio or trio; see `admit`."""
    if admission.waits:
        try:
            await await_settled((admission.turn,), admission.patience, patient=True)
        except BaseException:  # the app gave up
            _withdraw(exchange, admission)
            raise
    return _conclude(exchange, admission)


def _conclude(exchange: Exchange, admission: Admission) -> Refusal | None:
    try:
        refusal = admission.conclude()
    except Exception as error:  # noqa: BLE001 - fail open, and leave nobody waiting behind it
        warn("gate", "The limits of a call could not be looked at: %s", type(error).__name__)
        admission.withdraw()
        return None
    if refusal is not None:
        exchange.refuse(refusal)
    else:
        exchange.model_instead = admission.model
        exchange.blocks, exchange.let_pass = admission.blocks, admission.let_pass
    return refusal


def _withdraw(exchange: Exchange, admission: Admission) -> None:
    admission.withdraw()
    exchange.discard()
