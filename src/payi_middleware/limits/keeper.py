"""The thread that keeps what is known of limits and prices up to date. It sleeps as long as nobody needs any."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from time import monotonic
from typing import Any
from uuid import uuid4

from payi_middleware.delivery import start_thread, work_unseen
from payi_middleware.exceptions import IngestError, IngestRefusedError
from payi_middleware.log import warn

from .budgets import Budgets
from .catalogue import listed_rates
from .estimates import Costs, Rates, Resource
from .sources import Granted, Shares, Source, told_of

__all__ = ["Keeper"]

_EVERY = 5.0
"""Seconds after which a limit in use is asked for again."""
_WHILE_SHARED = 0.5
"""Seconds after which it is where this process holds a part of it, which others may need."""
_WHILE_AWAITED = 0.03
"""Seconds between two questions while a call waits for the answer to change."""
_SLOW = 2.0
"""Seconds after which an answer about a shared limit is too old to be passed on to others."""
_MOST_ASKED = 256
_IDLE = 60.0


class Keeper:
    """Ask `source` for what `budgets` and `costs` need, on a thread of its own.

    Args:
        source: makes who is asked, at the first question.
        shares: makes who shares limits out, if that is somebody else than the source.
        owns_source: the source is nobody else's, and is closed at the end.
    """

    def __init__(self, source: Callable[[], Source], shares: Callable[[], Shares] | None, *, owns_source: bool) -> None:
        self._open_source = source
        self._open_shares = shares
        self._owns_source = owns_source
        self._source: Source | None = None
        self._shares: Shares | None = None
        self._called = threading.Event()
        self._starting = threading.Lock()
        self._started = threading.Event()
        self._ended = False
        self._prices: dict[Resource, None] = {}
        self._holder = str(uuid4())
        self.budgets = Budgets(self.call)
        self.costs = Costs(self._ask_price)

    def call(self) -> None:
        """Have it look now what is needed; starts the thread."""
        self._called.set()
        if not self._started.is_set():
            with self._starting:
                if not self._started.is_set() and not self._ended and start_thread(self._run, "payi-limits"):
                    self._started.set()

    def _ask_price(self, resource: Resource) -> None:
        if resource not in self._prices and len(self._prices) < _MOST_ASKED:
            self._prices[resource] = None
            self.call()

    def close(self) -> None:
        """End the thread; what this process holds of limits that are shared out is its own for some seconds more."""
        with self._starting:
            self._ended = True
        self._called.set()

    # --- the thread -------------------------------------------------------------------------------------------------

    def _run(self) -> None:
        work_unseen()
        while not self._ended:
            try:
                self._look_up_prices()
                for limit_id in self.budgets.due(_EVERY, _WHILE_SHARED):
                    self._ask(limit_id)
            except Exception as error:  # noqa: BLE001 - the next round must not suffer from it
                warn("limits", "Looking after limits went wrong: %s", type(error).__name__)
            if self.budgets.impatient:
                time.sleep(_WHILE_AWAITED)
            else:
                self._called.wait(_IDLE if self.budgets.empty else _WHILE_SHARED)
            self._called.clear()
        for opened in (self._shares, self._source if self._owns_source else None):
            if opened is not None:
                with suppress(Exception):
                    opened.close()

    def _sourced(self) -> Source:
        if self._source is None:
            self._source = self._open_source()
        return self._source

    def _ask(self, limit_id: str) -> None:
        started = monotonic()
        try:
            answer = self._answer(limit_id, started)
        except IngestRefusedError as error:
            if error.status == 404:
                self.budgets.learn_absent(limit_id)
                return
            warn("limit", "A limit cannot be asked for: HTTP %d %s", error.status, error.code[:64])
            answer = {}, None
        except IngestError as error:
            warn("limit", "Limits cannot be asked for at present: %s", type(error).__name__)
            answer = {}, None
        if answer is None:
            return
        told = told_of(*answer)
        if told is None:
            self.budgets.forgive(limit_id)
        else:
            self.budgets.learn(limit_id, told, started)

    def _answer(self, limit_id: str, started: float) -> tuple[Mapping[str, Any], Granted | None] | None:
        if self._open_shares is not None:
            return self._shared(limit_id, started)
        answer = self._sourced().lease(limit_id, self._holder, self.budgets.asked(limit_id, started))
        if answer is None:
            return self._sourced().limit(limit_id), None
        lease, limit = answer["lease"], answer["limit"]
        plain = told_of(limit)
        return limit, Granted(int(lease["granted"]), int(lease["left"]), -1 if plain is None else plain.spent)

    def _shared(self, limit_id: str, started: float) -> tuple[Mapping[str, Any], Granted | None] | None:
        limit = self._sourced().limit(limit_id)
        told = told_of(limit)
        if told is None or not told.blocks:
            return limit, None
        if monotonic() - started > _SLOW:
            return None
        try:
            if self._shares is None and self._open_shares is not None:
                self._shares = self._open_shares()
            assert self._shares is not None
            asked = self.budgets.asked(limit_id, started)
            return limit, self._shares.share(limit_id, self._holder, asked, told.maximum, told.spent)
        except Exception as error:  # noqa: BLE001 - each process on its own is better than none
            warn("shares", "Limits are not shared among processes at present: %s", type(error).__name__)
            return limit, None

    # --- prices -----------------------------------------------------------------------------------------------------

    def _look_up_prices(self) -> None:
        while self._prices:
            resource, rates, failed = next(iter(self._prices)), None, True
            try:
                rates, failed = self._rates(resource)
            finally:
                self.costs.learn(resource, rates, provisional=failed)
                del self._prices[resource]

    def _rates(self, resource: Resource) -> tuple[Rates | None, bool]:
        """Return a resource's prices, and whether somebody who comes before could not be asked."""
        own_first = not self.budgets.empty  # what limits are charged with; list prices cost no request
        failed = False
        for look_up in (self._rates_of_source, listed_rates) if own_first else (listed_rates, self._rates_of_source):
            try:
                if (rates := look_up(resource)) is not None:
                    return rates, failed
            except IngestError:
                failed = True
        return None, failed

    def _rates_of_source(self, resource: Resource) -> Rates | None:
        return self._sourced().rates(resource)
