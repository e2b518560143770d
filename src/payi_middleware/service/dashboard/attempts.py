"""How often somebody may try to sign in."""

from __future__ import annotations

import threading
from collections import OrderedDict
from time import monotonic

__all__ = ["Attempts"]

_ALLOWED = 10
_WITHIN = 60.0
"""Attempts that may fail, from one address, within so many seconds."""
_MOST = 10_000
"""Addresses that are remembered: those that tried last."""


class Attempts:
    """Count the attempts that failed, by address. A key cannot be guessed; this keeps guesses from costing anything."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._failed: OrderedDict[str, list[float]] = OrderedDict()

    def wait(self, address: str) -> int:
        """Return the seconds that an address has to wait before it may try again; 0 if it may."""
        with self._lock:
            failed = self._recent(address)
            return 0 if len(failed) < _ALLOWED else max(1, round(failed[0] + _WITHIN - monotonic()))

    def fail(self, address: str) -> None:
        """Note an attempt that failed."""
        with self._lock:
            self._failed[address] = [*self._recent(address), monotonic()]
            self._failed.move_to_end(address)
            while len(self._failed) > _MOST:
                self._failed.popitem(last=False)

    def _recent(self, address: str) -> list[float]:
        since = monotonic() - _WITHIN
        return [moment for moment in self._failed.get(address, ()) if moment > since]
