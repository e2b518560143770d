"""The budgets of this process, and the calls that wait for them to have room."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from decimal import Decimal
from time import monotonic

from payi_middleware.calls import Call
from payi_middleware.granting import Asked

from . import money
from .budget import Budget, LimitView, Told

__all__ = ["Budgets", "Ticket"]

_KNOWN = 10_000
_UNUSED = 600.0
"""Seconds after which a limit that no call names is not asked for any more."""


class Ticket:
    """A call at the gate: it waits, may go out, or is refused.

    `turn` is settled when that is decided. `refused_by` are the limits that it was refused for.
    """

    __slots__ = ("budgets", "cost", "open", "refused_by", "reserved", "turn")

    def __init__(self, budgets: Sequence[Budget], cost: int) -> None:
        self.budgets = budgets
        self.cost = cost
        self.turn = Call()
        self.open = False
        self.reserved: list[Budget] = []
        self.refused_by: tuple[str, ...] = ()

    @property
    def waits(self) -> bool:
        """Whether nothing is decided yet."""
        return not self.turn.settled


class Budgets:
    """Decide which calls may go out. Safe from several threads; nothing here waits for anybody.

    Args:
        call_keeper: is called when something is to be asked of the service, now.
    """

    def __init__(self, call_keeper: Callable[[], None]) -> None:
        self._call_keeper = call_keeper
        self._budgets: dict[str, Budget] = {}
        self._waiting: list[Ticket] = []
        self._lock = threading.Lock()
        self.refused = 0

    # --- on the app's threads ---------------------------------------------------------------------------------------

    def ask(self, limit_ids: Sequence[str], cost: Decimal) -> Ticket:
        """Ask for a call to go out.

        Args:
            limit_ids: what it counts against.
            cost: USD that it may cost at most.
        """
        amount = money.roof(cost)
        with self._lock:
            now = monotonic()
            ticket = Ticket([self._budget(limit_id, now) for limit_id in limit_ids], amount)
            if self._must_queue(ticket) or not self._decide(ticket):
                self._waiting.append(ticket)
        if ticket.waits:
            self._call_keeper()
        return ticket

    def _must_queue(self, ticket: Ticket) -> bool:
        """Return whether others wait at a budget of its; at one that blocks nothing they wait for something else."""
        return bool(self._waiting) and any(
            budget.blocks and budget in waiting.budgets for waiting in self._waiting for budget in ticket.budgets
        )

    def _budget(self, limit_id: str, now: float) -> Budget:
        budget = self._budgets.get(limit_id)
        if budget is None:
            if len(self._budgets) >= _KNOWN:
                self._forget_unused(now, 0.0)
            budget = self._budgets[limit_id] = Budget(limit_id)
        budget.used = now
        return budget

    def _decide(self, ticket: Ticket) -> bool:
        judgements = [budget.judge(ticket.cost) for budget in ticket.budgets]
        if "no" in judgements:
            pairs = zip(ticket.budgets, judgements, strict=True)
            self._refuse(ticket, tuple(budget.limit_id for budget, judged in pairs if judged == "no"))
        elif "wait" in judgements:
            return False
        else:
            self._let_pass(ticket)
        return True

    def _let_pass(self, ticket: Ticket) -> None:
        for budget in ticket.budgets:
            if budget.blocks:
                budget.reserve(ticket.cost)
                ticket.reserved.append(budget)
        ticket.open = True
        ticket.turn.settle(None)

    def _refuse(self, ticket: Ticket, limit_ids: tuple[str, ...]) -> None:
        ticket.refused_by = limit_ids
        self.refused += 1
        ticket.turn.settle(None)

    def conclude(self, ticket: Ticket) -> None:
        """Decide about a call that has waited long enough: without room in a budget it is refused.

        It goes out if nothing is known of its limits, as the service does not answer.
        """
        with self._lock:
            if ticket.turn.settled:
                return
            self._waiting.remove(ticket)
            full = tuple(
                budget.limit_id for budget in ticket.budgets if budget.blocks and not self._fits(budget, ticket)
            )
            if full:
                self._refuse(ticket, full)
            else:
                self._let_pass(ticket)

    def _fits(self, budget: Budget, ticket: Ticket) -> bool:
        return budget.judge(ticket.cost) == "go" or not budget.known

    def override(self, ticket: Ticket) -> None:
        """Let a refused call go out all the same: the app wants it so."""
        with self._lock:
            ticket.refused_by = ()
            self.refused -= 1
            self._let_pass(ticket)

    def withdraw(self, ticket: Ticket) -> None:
        """Take back a call that waits, or that will not be made."""
        with self._lock:
            if ticket in self._waiting:
                self._waiting.remove(ticket)
            self._release(ticket, 0, (), 0.0)
            self._reconsider()
        ticket.turn.settle(None)

    def warning_states(self, limit_ids: Sequence[str]) -> list[tuple[str, LimitView]]:
        """Return those of these limits that are not ok: state and limit."""
        with self._lock:
            found = [budget for limit_id in limit_ids if (budget := self._budgets.get(limit_id))]
            return [(state, budget.view()) for budget in found if (state := budget.state) != "ok"]

    def view(self, limit_id: str) -> tuple[str, LimitView]:
        """Return a limit's state, and the limit."""
        with self._lock:
            budget = self._budgets[limit_id]
            return budget.state, budget.view()

    def refusing(self, limit_ids: Sequence[str]) -> tuple[str, ...]:
        """Return those of these limits that are known to refuse every call at present."""
        with self._lock:
            found = [budget for limit_id in limit_ids if (budget := self._budgets.get(limit_id)) and budget.known]
            return tuple(budget.limit_id for budget in found if budget.blocks and budget.judge(0) == "no")

    def prepare(self, limit_ids: Sequence[str]) -> None:
        """Have limits asked for that calls will name."""
        with self._lock:
            now = monotonic()
            for limit_id in limit_ids:
                self._budget(limit_id, now)
        self._call_keeper()

    # --- on the delivering threads ----------------------------------------------------------------------------------

    def settle(self, ticket: Ticket, call: Call) -> None:
        """Take note of what a call cost that went out."""
        result, at = call.result, monotonic()
        if result is not None:
            total = result.cost.total if result.cost is not None else None
            cost = money.roof(total.base) if total is not None and total.base is not None else 0
            charged = tuple(result.limits or ())
        else:  # accepted, and the answer did not say what it cost; else it was nothing, or will not be charged
            cost = ticket.cost if call.fetch is not None else 0
            charged = tuple(budget.limit_id for budget in ticket.reserved)
        with self._lock:
            self._release(ticket, cost, charged, at)
            self._reconsider()
        if self._waiting:
            self._call_keeper()

    def _release(self, ticket: Ticket, cost: int, charged: Sequence[str], at: float) -> None:
        for budget in ticket.reserved:
            budget.settle(ticket.cost, cost, booked=budget.limit_id in charged, at=at)
        ticket.reserved = []

    # --- on the keeper's thread -------------------------------------------------------------------------------------

    def due(self, every: float, while_shared: float) -> list[str]:
        """Return the limits that are to be asked for now.

        Args:
            every: seconds after which what is known of a limit is asked for again.
            while_shared: the same where this process holds a part of it.
        """
        with self._lock:
            now = monotonic()
            self._forget_unused(now, _UNUSED)
            awaited = {budget.limit_id for ticket in self._waiting for budget in ticket.budgets if not budget.absent}
            return [
                budget.limit_id
                for budget in self._budgets.values()
                if budget.limit_id in awaited
                or (budget.told is None and not budget.absent and now >= budget.forgiven_until)
                or now - budget.as_of >= (while_shared if budget.lease else every)
            ]

    def _forget_unused(self, now: float, unused: float) -> None:
        waited = {id(budget) for ticket in self._waiting for budget in ticket.budgets}
        for limit_id, budget in list(self._budgets.items()):
            if now - budget.used >= unused and not budget.held and not budget.lease and id(budget) not in waited:
                del self._budgets[limit_id]

    @property
    def impatient(self) -> bool:
        """Whether a call waits."""
        return bool(self._waiting)

    @property
    def empty(self) -> bool:
        """Whether no limit is in use."""
        return not self._budgets

    def asked(self, limit_id: str, since: float) -> Asked:
        """Return what to ask for; see `Budget.asked`."""
        with self._lock:
            budget = self._budgets[limit_id]
            return budget.asked([ticket.cost for ticket in self._waiting if budget in ticket.budgets], since)

    def learn(self, limit_id: str, told: Told, started: float) -> None:
        """Take note of what the service said, and let go whom that allows to."""
        self._note(limit_id, lambda budget: budget.learn(told, started))

    def learn_absent(self, limit_id: str) -> None:
        """Take note that there is no such limit; the report will be told so."""

        def gone(budget: Budget) -> None:
            budget.told, budget.absent, budget.as_of, budget.lease = None, True, monotonic(), 0

        self._note(limit_id, gone)

    def forgive(self, limit_id: str) -> None:
        """Take note that the service cannot be asked; see `Budget.forgive`."""
        self._note(limit_id, Budget.forgive)

    def _note(self, limit_id: str, change: Callable[[Budget], None]) -> None:
        with self._lock:
            if (budget := self._budgets.get(limit_id)) is not None:
                change(budget)
                self._reconsider()

    def _reconsider(self) -> None:
        """Decide about those that wait, the oldest first; nobody overtakes at a budget."""
        full: set[int] = set()
        for ticket in list(self._waiting):
            if not any(id(budget) in full for budget in ticket.budgets) and self._decide(ticket):
                self._waiting.remove(ticket)
            else:
                full.update(id(budget) for budget in ticket.budgets if budget.blocks)
