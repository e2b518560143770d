"""What one process has to keep within its limits: the gate, and the keeper behind it."""

from __future__ import annotations

import os
from collections.abc import Callable

from .gate import Gate, OnLimit
from .keeper import Keeper
from .sources import Shares, Source

__all__ = ["Control"]


class Control:
    """A gate and its keeper. A forked child makes its own: its parent's budgets are not held by it.

    Args:
        source: makes who is asked about limits and prices.
        shares: makes who shares limits out, if that is somebody else.
        owns_source: the source is nobody else's.
        patience: seconds that a call may wait for room.
        on_limit: the app's own say, if it wants one.
    """

    def __init__(
        self,
        *,
        source: Callable[[], Source],
        shares: Callable[[], Shares] | None,
        owns_source: bool,
        patience: float,
        on_limit: OnLimit | None,
    ) -> None:
        self.pid = os.getpid()
        self._keeper = Keeper(source, shares, owns_source=owns_source)
        self.gate = Gate(self._keeper.budgets, self._keeper.costs, patience, on_limit)

    def close(self) -> None:
        """End the keeper's thread."""
        self._keeper.close()
