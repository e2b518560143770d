"""The gate that provider calls pass: what they may cost is reserved, and one without room in its budgets is refused."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from functools import partial
from typing import NamedTuple

from payi_middleware.annotations import Annotations
from payi_middleware.calls import Call
from payi_middleware.log import warn
from payi_middleware.providers import model_named
from payi_middleware.recorder import Exchange
from payi_middleware.report import UNKNOWN_MODEL, Report

from . import money
from .budget import LimitView
from .budgets import Budgets, Ticket
from .estimates import Costs, Resource
from .refusal import Refusal

__all__ = ["Admission", "Gate", "LimitedCall", "OnLimit", "resource_of"]

_INSTANCES = 10_000
_OUT = 20_000
"""Calls under way, or not delivered yet, whose reservations are kept singly."""


class LimitedCall(NamedTuple):
    """A call whose limit is running out, as `on_limit` is shown it.

    Args:
        category, resource: Pay-i's names of the provider and the model.
        estimate: USD that it may cost at most, about.
        annotations: whom it is for.
    """

    category: str
    resource: str
    estimate: Decimal
    annotations: Annotations


OnLimit = Callable[[str, LimitView, LimitedCall], str | bool | None]


class Admission:
    """A call at the gate. While `waits`, `turn` is what to wait for, at most `patience` seconds; then `conclude`."""

    __slots__ = ("_exchange", "_gate", "let_pass", "model", "patience", "ticket")

    def __init__(self, gate: Gate, exchange: Exchange, ticket: Ticket) -> None:
        self._gate = gate
        self._exchange = exchange
        self.ticket = ticket
        self.patience = gate.patience
        self.model: str | None = None
        self.let_pass = False

    @property
    def blocks(self) -> bool:
        """Whether a limit of type block is in force for it."""
        return any(budget.blocks for budget in self.ticket.budgets)

    @property
    def waits(self) -> bool:
        """Whether it is not decided yet."""
        return self.ticket.waits

    @property
    def turn(self) -> Call:
        """What is settled when it is."""
        return self.ticket.turn

    def conclude(self) -> Refusal | None:
        """Return why the call must not be made, or None; `model` is then the one to ask for instead, if any."""
        return self._gate.conclude(self, self._exchange)

    def withdraw(self) -> None:
        """The call is not made: whoever waited for its turn was cancelled."""
        self._gate.budgets.withdraw(self.ticket)


class Gate:
    """Decide which calls go out.

    Args:
        budgets: what is left.
        costs: what a call may cost.
        patience: seconds that a call may wait for room.
        on_limit: the app's own say, if it wants one.
    """

    def __init__(self, budgets: Budgets, costs: Costs, patience: float, on_limit: OnLimit | None) -> None:
        self.budgets = budgets
        self.costs = costs
        self.patience = patience
        self._on_limit = on_limit
        self._instances: dict[tuple[str, str], tuple[str, ...]] = {}
        self._out: dict[Ticket, Call] = {}

    # --- on the app's thread ----------------------------------------------------------------------------------------

    def admit(self, exchange: Exchange) -> Admission | None:
        """Take a call to the gate; None if nothing limits it."""
        annotations = exchange.annotations
        limit_ids = annotations.limit_ids or ()
        if self._instances and (name := annotations.use_case_name):
            own = self._instances.get((name, annotations.use_case_id or ""), ())
            limit_ids = tuple(dict.fromkeys((*limit_ids, *own))) if own else limit_ids
        if not limit_ids:
            return None
        resource = resource_of(exchange, annotations)
        cost = self.costs.upper(resource, exchange.request)
        ticket = self.budgets.ask(limit_ids, cost)
        exchange.limited = exchange.wanted = True
        return Admission(self, exchange, ticket)

    def conclude(self, admission: Admission, exchange: Exchange) -> Refusal | None:
        """Decide at last; see `Admission.conclude`."""
        ticket = admission.ticket
        self.budgets.conclude(ticket)
        if self._on_limit is not None:
            self._plead(admission, exchange)
        if ticket.refused_by:
            named = [budget for budget in ticket.budgets if budget.limit_id not in ticket.refused_by]
            return Refusal(ticket.refused_by, tuple(budget.limit_id for budget in named if not budget.absent))
        if ticket.reserved:
            self._let_out(ticket, exchange.call)
        return None

    def _plead(self, admission: Admission, exchange: Exchange) -> None:
        """Let the app have its say about limits that run out."""
        ticket, annotations = admission.ticket, exchange.annotations
        call = LimitedCall(*resource_of(exchange, annotations), money.usd(ticket.cost), annotations)
        if not ticket.refused_by:
            for state, limit in self.budgets.warning_states([budget.limit_id for budget in ticket.budgets]):
                said = self._say(state, limit, call)
                admission.model = said if isinstance(said, str) else admission.model
            return
        said = None
        for limit_id in ticket.refused_by:
            said = self._say("blocked", self.budgets.view(limit_id)[1], call)
            if not said:
                return  # each of them has to agree
        self.budgets.override(ticket)
        admission.let_pass = True
        admission.model = said if isinstance(said, str) else None

    def _let_out(self, ticket: Ticket, call: Call) -> None:
        """Keep a call that is out: in an outage the delivery may lose sight of it, and its reservation would stay."""
        if len(self._out) >= _OUT:
            self._settle(next(iter(self._out)))
        self._out[ticket] = call
        call.on_settled(partial(self._settle, ticket))

    def _settle(self, ticket: Ticket) -> None:
        call = self._out.pop(ticket, None)
        if call is not None:
            self.budgets.settle(ticket, call)

    def _say(self, state: str, limit: LimitView, call: LimitedCall) -> str | bool | None:
        assert self._on_limit is not None
        try:
            said = self._on_limit(state, limit, call)
        except Exception as error:  # noqa: BLE001 - the limit holds, and calls within it go out
            warn("on_limit", "on_limit failed (%s), and was taken to say nothing", type(error).__name__)
            return None
        return said if isinstance(said, str | bool) else None

    # --- on the delivering threads ----------------------------------------------------------------------------------

    def expect_result(self, exchange: Exchange, report: Report) -> None:
        """Be ready to say what a call cost before its result is in, and to learn from that."""
        call, resource = exchange.call, (report.category, str(report.item.get("resource")))
        if call.provisional is None:
            self.costs.prepare(resource)
            call.guess = partial(self.costs.of_units, resource, report.item["units"])
        call.on_settled(partial(self._learn, call, exchange.annotations, resource))

    def learn(self, exchange: Exchange) -> None:
        """Learn from the result of a call that is not reported, as the proxy has it on record."""
        self._learn(exchange.call, exchange.annotations, resource_of(exchange, exchange.annotations))

    def _learn(self, call: Call, annotations: Annotations, resource: Resource) -> None:
        """Take note of what a call cost, and of the limit that its use case's instance has of its own."""
        result = call.result
        if result is None:
            return
        total = None if result.cost is None or result.cost.total is None else result.cost.total.base
        if total is not None:
            self.costs.seen(resource, total)
            self._compare(call, total)
        if (name := annotations.use_case_name) and annotations.use_case_id:
            own = tuple(limit_id for limit_id in result.limits or () if limit_id not in (annotations.limit_ids or ()))
            if own:
                if len(self._instances) >= _INSTANCES:
                    self._instances.clear()
                self._instances[name, annotations.use_case_id] = own

    def _compare(self, call: Call, total: Decimal) -> None:
        guess = call.estimate
        if guess is not None and guess.cost is not None and guess.cost.total is not None:
            self.costs.accuracy.add(guess.cost.total.base or Decimal(0), total)


def resource_of(exchange: Exchange, annotations: Annotations) -> Resource:
    """Return Pay-i's names of what a call uses, as far as its request tells."""
    match = exchange.match
    model = model_named(match, exchange.request)
    named = annotations.price_as_resource or (match.resource(model) if model else UNKNOWN_MODEL)
    return annotations.price_as_category or match.category, named
