"""Books what comes in at the same time together: one transaction costs little more for a hundred requests than for one.

A single thread does it. While it writes, what comes in waits, and is written together next. Under load it also waits
for a moment between two transactions, so that there are fewer of them.
"""

from __future__ import annotations

import logging
import queue
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial

import anyio

from payi_middleware.waking import loop_waker

from .accounts.booking import Outcome
from .accounts.events import Event
from .errors import LedgerError
from .ledger import Ledger

__all__ = ["Clerk"]

logger = logging.getLogger(__name__)

_MOST = 1_000
"""Requests that one transaction takes, so that those who come in singly do not wait for long."""
_FEW, _MANY, _SOON, _LONGEST_MOMENT = 10, 16, 0.01, 0.015
"""A transaction costs as much for a few requests as for one. So one that follows another this soon (seconds), and has
few, waits for others to join it: as long as the quicker of the last two took, since the other one may have waited for
the database, and no longer than that moment. It is the smaller a part of that the fewer were answered last, as those
are the ones who may come again; where it was a single booking, whoever sends one after the other would wait for
nobody."""


@dataclass(slots=True)
class _Slip:
    """What somebody waits to have booked."""

    application_id: int
    events: Sequence[Event]
    done: Callable[[], None]
    outcomes: list[Outcome] = field(default_factory=list)
    error: BaseException | None = None


class Clerk:
    """Book requests of any application.

    Args:
        ledger: of any application; the database is its own.
        booked: is told, on the clerk's thread, what became of the events of each transaction.
    """

    def __init__(self, ledger: Ledger, booked: Callable[[Sequence[Outcome]], None] = lambda _: None) -> None:
        self._ledger = ledger
        self._booked = booked
        self._slips: queue.SimpleQueue[_Slip | None] = queue.SimpleQueue()
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None
        self._closed = False
        self._written = self._took = self._took_before = 0.0
        self._answered = 1

    @property
    def waiting(self) -> int:
        """How many bookings wait to be written."""
        return self._slips.qsize()

    async def book(self, application_id: int, events: Sequence[Event]) -> list[Outcome]:
        """Book requests, and return what became of each.

        Raises:
            LedgerError: the database does not let us; nothing was changed.
        """
        arrived = anyio.Event()
        slip = _Slip(application_id, events, partial(loop_waker(), arrived.set))
        self._put(slip)
        await arrived.wait()
        if slip.error is not None:
            raise slip.error
        return slip.outcomes

    def leave(self, application_id: int, events: Sequence[Event]) -> None:
        """Have requests booked without waiting for it. What goes wrong is logged."""
        slip = _Slip(application_id, events, lambda: _log(slip.error))
        try:
            self._put(slip)
        except LedgerError as error:
            _log(error)

    def _put(self, slip: _Slip) -> None:
        with self._lock:
            if self._closed:
                raise LedgerError("this", "is being closed", "Send it again.")
            if self._thread is None:
                self._thread = threading.Thread(target=self._work, name="payi-clerk", daemon=True)
                self._thread.start()
            self._slips.put(slip)

    def close(self) -> None:
        """Book what is there, and end."""
        with self._lock:
            self._closed = True
            thread, self._thread = self._thread, None
        if thread is not None:
            self._slips.put(None)
            thread.join()

    def _work(self) -> None:
        slip = self._slips.get()
        while slip is not None:
            self._let_gather(slip)
            slips, slip = self._together(slip)
            began = time.monotonic()
            self._write(slips)
            self._written = time.monotonic()
            self._took_before, self._took = self._took, self._written - began
            self._answered = len(slips)
            for one in slips:
                one.done()
            slip = self._slips.get() if slip is _MORE else slip

    def _let_gather(self, first: _Slip) -> None:
        others = self._slips.qsize()
        few = len(first.events) < _FEW and others < _FEW
        if few and (self._answered > 1 or others) and time.monotonic() - self._written < _SOON:
            share = min(1.0, max(self._answered, others + 1) / _MANY)
            time.sleep(share * min(self._took, self._took_before, _LONGEST_MOMENT))

    def _together(self, first: _Slip) -> tuple[list[_Slip], _Slip | None]:
        """Return what waits, up to a bound, and what comes next: `_MORE` if that is not here yet."""
        slips, count = [first], len(first.events)
        with suppress(queue.Empty):
            while count < _MOST:
                slip = self._slips.get_nowait()
                if slip is None or count + len(slip.events) > _MOST:
                    return slips, slip
                slips.append(slip)
                count += len(slip.events)
        return slips, _MORE

    def _write(self, slips: Sequence[_Slip]) -> None:
        try:
            booked = self._ledger.book_of([(slip.application_id, slip.events) for slip in slips])
        except Exception as error:  # noqa: BLE001 - whoever waits is told
            if len(slips) == 1 or (isinstance(error, LedgerError) and error.unsure):
                for slip in slips:
                    slip.error = error
                return
            for slip in slips:  # one of them may be the cause, and the others shall not suffer from it
                self._write([slip])
        else:
            for slip, outcomes in zip(slips, booked, strict=True):
                slip.outcomes = outcomes
            self._booked([outcome for slip in slips for outcome in slip.outcomes])


def _log(error: BaseException | None) -> None:
    if error is not None:
        logger.error("a request is not booked: %s", error if isinstance(error, LedgerError) else type(error).__name__)


_MORE = _Slip(0, (), lambda: None)
