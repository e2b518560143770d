"""Who can be asked about limits and prices. All of it waits for a network or a disk: for the keeper's thread only."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import Any, NamedTuple, Protocol, runtime_checkable

from payi_middleware.granting import Asked

from . import money
from .budget import Told
from .estimates import Rates, Resource

__all__ = ["Granted", "Shares", "Source", "told_of"]


class Granted(NamedTuple):
    """What a process may hold of a limit, what nobody holds then, and what was spent of it, in quanta."""

    granted: int
    left: int
    spent: int


@runtime_checkable
class Source(Protocol):
    """Where limits and prices are kept."""

    def limit(self, limit_id: str) -> Mapping[str, Any]:
        """Return a limit as Pay-i's answers have it.

        Raises:
            IngestRefusedError: 404, there is no such limit.
            IngestError: it cannot be had at present.
        """

    def lease(self, limit_id: str, holder: str, asked: Asked) -> Mapping[str, Any] | None:
        """Ask for a part of a limit; None if whoever keeps it does not share it out.

        Returns:
            `limit`, as Pay-i's answers have it, and `lease` with `granted` and `left`, in quanta.

        Raises:
            IngestError: as `limit`.
        """

    def rates(self, resource: Resource) -> Rates | None:
        """Return a resource's prices, or None if it has none.

        Raises:
            IngestError: they cannot be had at present.
        """

    def close(self) -> None:
        """Let go of connections."""


class Shares(Protocol):
    """Shares limits out among processes."""

    def share(self, limit_id: str, holder: str, asked: Asked, maximum: int, spent: int) -> Granted:
        """Ask for a part of a limit, given what is known of it.

        Raises:
            Exception: whatever its client raises.
        """

    def close(self) -> None:
        """Let go of connections."""


def told_of(limit: Mapping[str, Any], granted: Granted | None = None) -> Told | None:
    """Read a limit as Pay-i's answers have it; None if it makes no sense."""
    try:
        spent = money.floor(limit["totals"]["cost"]["total"]["base"])
        maximum = money.floor(limit["max"])
        threshold = limit.get("threshold")
        fraction = None if threshold is None else Decimal(str(threshold))
    except (KeyError, TypeError, ArithmeticError):
        return None
    if spent is None or maximum is None:
        return None
    told = Told(
        str(limit.get("limit_name") or limit.get("limit_id")),
        limit.get("limit_type") == "block",
        maximum,
        spent,
        fraction,
    )
    if granted is None:
        return told
    return Told(told.name, told.blocks, maximum, max(granted.spent, 0), fraction, granted.granted, granted.left)
