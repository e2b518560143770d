"""Booking a call through us, once, whatever becomes of it."""

from __future__ import annotations

import logging
from dataclasses import replace
from typing import Any

import anyio

from payi_middleware.service.accounts import admission, records
from payi_middleware.service.accounts.booking import Outcome
from payi_middleware.service.accounts.events import Event
from payi_middleware.service.api.service import Call
from payi_middleware.service.errors import LedgerError, ServiceError

from .metering import Metering

__all__ = ["Settlement", "book"]

logger = logging.getLogger(__name__)

_HELD_FOR = 5.0
"""Seconds that the end of an answer is held back for the result; the caller gets it without one then."""
_AGAIN_AFTER = (1.0, 2.0, 4.0, 8.0, 16.0)
"""Seconds after which it is tried again to book what the database did not take."""


async def book(call: Call, event: Event) -> dict[str, Any]:
    """Book an event, and return Pay-i's result of it.

    Raises:
        LedgerError: the database does not let us.
        ServiceError: the event is refused.
    """
    outcome = await _booked(call, event)
    if isinstance(outcome, ServiceError):
        # A limit was deleted since the call was let through: the call was made, and is booked without it.
        kept = await call.read(admission.existing, event.limit_ids)
        outcome = await _booked(call, replace(event, limit_ids=kept))
    if isinstance(outcome, ServiceError):
        raise outcome
    result: dict[str, Any] = records.answer_of(outcome.row, repeated=outcome.repeated)["xproxy_result"]
    return result


async def _booked(call: Call, event: Event) -> Outcome:
    (outcome,) = await call.book([event])
    return outcome


class Settlement:
    """What is owed for a call: booked at the end of its answer, or when it turns out that there will be no end.

    Args:
        call: the request to us.
        metering: what the answer says.
    """

    def __init__(self, call: Call, metering: Metering) -> None:
        self._call = call
        self._metering = metering
        self._owed: Event | None = None
        self._begun = False
        call.service.owing.add(self.leave)

    async def result(self) -> dict[str, Any] | None:
        """Book the call and return its result; None if it was none, or if the result is long in coming."""
        if self._begun:
            return None
        self._begun = True
        if not self._metering.is_inference:
            return None
        event = self._owed = self._metering.event()
        with anyio.move_on_after(_HELD_FOR) as scope:
            try:
                result = await book(self._call, event)
            except LedgerError as error:
                logger.error("a call is not booked yet: %s", error)
                return None
            except ServiceError as error:
                self._give_up(error)
                return None
            self._owed = None
            return result
        if scope.cancelled_caught:
            self._owed = None  # it is with the clerk
        return None

    async def settle(self) -> None:
        """Book the call if that was not done, and try again if it could not be done. Nobody waits for this."""
        await self.result()
        for seconds in _AGAIN_AFTER:
            if self._owed is None:
                return
            await anyio.sleep(seconds)
            try:
                await book(self._call, self._owed)
            except LedgerError:
                continue
            except ServiceError as error:
                self._give_up(error)
            self._owed = None
        if self._owed is not None:
            logger.error("a call of %s could not be booked: the ledger is not available", self._owed.category)

    def leave(self) -> None:
        """Leave what is still owed to the clerk, where nothing can be waited for any more."""
        self._call.service.owing.discard(self.leave)
        if not self._begun:
            self._begun = True
            if self._metering.is_inference:
                self._owed = self._metering.event()
        if self._owed is not None:
            self._call.service.clerk.leave(self._call.ledger.application_id, [self._owed])
            self._owed = None

    def _give_up(self, error: ServiceError) -> None:
        logger.error("a call could not be booked: %s", error)
        self._owed = None
