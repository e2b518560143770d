"""Adds up what was booked, soon after, so that whoever looks at the dashboard finds it done."""

from __future__ import annotations

import logging
import threading
from time import monotonic

from .accounts import rollups
from .errors import LedgerError
from .ledger import Ledger

__all__ = ["Bookkeeper"]

logger = logging.getLogger(__name__)

_EVERY = 1.0
_DAYS_EVERY = 600.0
"""Seconds between two looks at what is to be added up, and at which hours are long over."""
_LONGEST_PAUSE = 0.05


class Bookkeeper:
    """A thread that adds up, for all applications in a database.

    Several processes may have one each: see `rollups.fold`.

    Args:
        ledger: of any application; the database is its own.
    """

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self._ended = threading.Event()
        self._thread: threading.Thread | None = None
        self._next_days = self._next_tidy = monotonic()

    def start(self) -> None:
        """Begin."""
        self._ledger.will_tidy()
        self._thread = threading.Thread(target=self._work, name="payi-bookkeeper", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """End after the transaction at hand."""
        self._ended.set()
        if self._thread is not None:
            self._thread.join()

    def _work(self) -> None:
        while not self._ended.wait(_EVERY):
            try:
                self._turn()
            except LedgerError as error:
                logger.warning("what was booked could not be added up: %s", error)
            except Exception as error:  # noqa: BLE001 - the next turn has another try
                logger.error("unexpected %s while adding up", type(error).__name__)

    def _turn(self) -> None:
        days_are_due = monotonic() >= self._next_days
        failures: list[Exception] = []
        for application_id, waiting in self._ledger.unfolded_by_application().items():
            if self._ended.is_set():
                break
            try:
                self._add_up(self._ledger.of(application_id), waiting, days_are_due=days_are_due)
            except Exception as error:  # noqa: BLE001 - the others' shall not wait for what one has booked
                failures.append(error)
                self._ledger.check()  # or it is the database, and nobody's fault
        if days_are_due:
            self._next_days = monotonic() + _DAYS_EVERY
        self._tidy()
        if failures:
            raise failures[0]

    def _add_up(self, ledger: Ledger, waiting: int, *, days_are_due: bool) -> None:
        # What comes meanwhile is left for the next turn: a few requests cost nearly as much as many do.
        while waiting > 0 and (folded := self._fold(ledger)):
            waiting -= folded
            self._tidy()
        if days_are_due:
            ledger.write(rollups.compact)

    def _fold(self, ledger: Ledger) -> int:
        """Add up a portion, and return how many transactions' requests that were; 0 at the end."""
        began = monotonic()
        folded = ledger.write(rollups.fold)
        # As long again for whoever books: the lock is given to who asks first, not to who has waited longest.
        return 0 if self._ended.wait(min(monotonic() - began, _LONGEST_PAUSE)) else folded

    def _tidy(self) -> None:
        if monotonic() >= self._next_tidy:
            self._ledger.tidy()
            self._next_tidy = monotonic() + _EVERY
