"""One budget as this process sees it. No I/O and no lock: `Budgets` has that.

What a limit was charged with comes from the service and is a little old. What this process adds to it since is counted
here, from the moment a call may go out until the service is known to have it: first what the call may cost, then what
it did cost.
"""

from __future__ import annotations

from decimal import Decimal
from time import monotonic
from typing import Literal, NamedTuple

from payi_middleware.granting import Asked

from . import money

__all__ = ["Budget", "Judgement", "LimitView", "Told"]

Judgement = Literal["go", "wait", "no"]
_FORGIVEN = 10.0
"""Seconds for which a limit that cannot be asked for lets calls pass, before one waits for it again."""
_IDLE = 5.0
"""Seconds without a call after which what is held in advance is given back."""
_STALE = 30.0
"""Seconds after which what is known of a limit is asked for anew before a call goes out."""


class Told(NamedTuple):
    """What the service says of a limit. Amounts are in quanta.

    Args:
        granted: what this process may hold of it, where the budget is shared out; None where it is not.
        left: what nobody holds then.
    """

    name: str
    blocks: bool
    maximum: int
    spent: int
    threshold: Decimal | None = None
    granted: int | None = None
    left: int = 0


class LimitView(NamedTuple):
    """A limit, as `on_limit` is shown it.

    Args:
        limit_id, limit_name: as in Pay-i.
        limit_type: "block" or "allow".
        max: USD.
        spent: USD, as far as it is known here.
        reserved: USD that calls of this process which are under way may still cost.
    """

    limit_id: str
    limit_name: str
    limit_type: Literal["block", "allow"]
    max: Decimal
    spent: Decimal
    reserved: Decimal


class Budget:
    """What is known of one limit, and what this process has done to it."""

    __slots__ = (
        "absent",
        "as_of",
        "forgiven_until",
        "held",
        "lease",
        "limit_id",
        "told",
        "unbooked",
        "uncovered",
        "used",
    )

    def __init__(self, limit_id: str) -> None:
        self.limit_id = limit_id
        self.told: Told | None = None
        self.as_of = 0.0
        self.absent = False
        self.forgiven_until = 0.0
        self.held = 0
        self.lease = 0
        self.uncovered: list[tuple[float, int]] = []
        self.unbooked = 0
        self.used = monotonic()

    # `held` is what calls under way may cost, `uncovered` what calls did cost that the service may not have told yet,
    # and `unbooked` what it will never count against the limit.

    @property
    def mine(self) -> int:
        """What this process adds to what the service has told."""
        return self.held + sum(cost for _, cost in self.uncovered) + self.unbooked

    @property
    def known(self) -> bool:
        """Whether what is known is new enough to go by."""
        return self.told is not None and monotonic() - self.as_of < _STALE

    def judge(self, cost: int) -> Judgement:
        """Return whether a call that may cost so much can go out."""
        told = self.told
        if self.absent or monotonic() < self.forgiven_until:
            return "go" if told is None or not told.blocks else self._judge(told, cost)
        if told is None or not self.known:
            return "wait"
        return self._judge(told, cost) if told.blocks else "go"

    def _judge(self, told: Told, cost: int) -> Judgement:
        if told.spent + self.unbooked >= told.maximum:
            return "no"
        mine = self.mine
        if told.granted is not None:
            return "go" if mine + cost <= self.lease else "wait"
        alone = mine == self.unbooked  # as the last call may cost more than what is left, it goes out alone
        return "go" if alone or mine + cost <= told.maximum - told.spent else "wait"

    @property
    def blocks(self) -> bool:
        """Whether calls are counted here before they go out."""
        return self.told is not None and self.told.blocks

    @property
    def state(self) -> str:
        """The state it is in, in Pay-i's words: https://docs.pay-i.com/docs/limit-apis"""
        told = self.told
        if told is None:
            return "ok"
        spent = self.spent
        if told.blocks and spent >= told.maximum:
            return "blocked"
        if spent > told.maximum:
            return "overrun"
        risk = told.maximum if told.threshold is None else told.maximum * told.threshold
        return "exceeded" if spent >= risk else "ok"

    @property
    def spent(self) -> int:
        """What it was charged with, as far as it is known here."""
        return (0 if self.told is None else self.told.spent) + self.mine - self.held

    def view(self) -> LimitView:
        """Return it for people."""
        told = self.told or Told(self.limit_id, blocks=False, maximum=0, spent=0)
        return LimitView(
            limit_id=self.limit_id,
            limit_name=told.name,
            limit_type="block" if told.blocks else "allow",
            max=money.usd(told.maximum),
            spent=money.usd(self.spent),
            reserved=money.usd(self.held),
        )

    # --- what happens to it ------------------------------------------------------------------------------------------

    def reserve(self, cost: int) -> None:
        """Count a call that goes out."""
        self.held += cost

    def settle(self, reserved: int, cost: int, *, booked: bool, at: float) -> None:
        """Replace what a call may cost by what it did cost.

        Args:
            booked: whether the service charges it to the limit.
            at: when the service was known to have it.
        """
        self.held -= reserved
        if not booked:
            self.unbooked += cost
        elif cost:
            self.uncovered.append((at, cost))

    def asked(self, waiting: list[int], since: float) -> Asked:
        """Return what this process holds and asks for, and hold no more than that from now on.

        Args:
            waiting: what the calls that wait may cost, the oldest first.
            since: what the service had before counts as told.
        """
        mine = self.held + self.unbooked + sum(cost for at, cost in self.uncovered if at > since)
        scarce = self.told is None or self.told.left < self.lease - mine
        idle = monotonic() - self.used > _IDLE
        self.lease = mine if waiting or scarce or idle else max(mine, self.lease)
        return Asked(self.lease, waiting[0] if waiting else 0, sum(waiting))

    def learn(self, told: Told, started: float) -> None:
        """Take note of what the service said when it was asked at `started` (monotonic seconds)."""
        if self.told is not None and told.spent < self.told.spent:  # the limit was reset
            self.unbooked = 0
        self.told = told
        self.as_of = started
        self.absent = False
        self.forgiven_until = 0.0
        self.uncovered = [(at, cost) for at, cost in self.uncovered if at > started]
        if told.granted is not None:
            self.lease = told.granted
        if not told.blocks:
            self.uncovered.clear()

    def forgive(self) -> None:
        """Let calls pass for a while: the service cannot be asked. What is known of the limit still holds."""
        self.forgiven_until = monotonic() + _FORGIVEN
        if self.told is not None and self.told.granted is not None:  # nobody shares it out at present
            self.told = self.told._replace(granted=None)
