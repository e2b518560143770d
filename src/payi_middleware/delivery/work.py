"""What passes between the threads of a delivery."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass, field
from time import monotonic, time
from typing import NamedTuple

from payi_middleware.courtesy import considerately
from payi_middleware.exceptions import IngestError
from payi_middleware.journal import Row
from payi_middleware.recorder import Exchange
from payi_middleware.report import Item, Report
from payi_middleware.results import XproxyResult

from .sinks import Outcome

__all__ = [
    "Barrier",
    "Done",
    "Job",
    "Nudge",
    "Opening",
    "Pending",
    "Stop",
    "refused_for_good",
    "row_report",
    "with_warnings",
]


class Opening:
    """A request to get the sink ready."""


class Nudge(NamedTuple):
    """Word that exchanges lie beside the queue.

    Args:
        wanted: somebody may wait for the result of one.
        at_once: nobody does anything else than wait.
    """

    wanted: bool
    at_once: bool = False


class Stop:
    """A request to end."""

    def __init__(self) -> None:
        self.done = threading.Event()


class Barrier:
    """A mark in the queue: everything put before it has been delivered or given up when it is reached.

    `number` and `row` say how far that is: in memory, and in the backlog. `left` says that nobody waits any more.
    """

    def __init__(self) -> None:
        self.reached = threading.Event()
        self.left = False
        self.number = 0
        self.row = 0


@dataclass(slots=True, eq=False, repr=False)
class Pending:
    """A report in memory, and the call that it is of.

    Args:
        number: counts the reports of this process.
        wanted: whether somebody may wait for the result.
        recorded: when the call ended, seconds since 1970.
        since: when this was made of it, on the monotonic clock.
        attempts: see `Row`.
    """

    number: int
    exchange: Exchange
    report: Report
    wanted: bool
    size: int
    recorded: float
    since: float = field(default_factory=monotonic)
    attempts: int = 0
    warnings: tuple[str, ...] = ()

    def has_waited(self, seconds: float) -> bool:
        """Whether its call has ended so long ago, or this was made of it: it may have lain there unread for longer."""
        return time() - self.recorded >= seconds or monotonic() - self.since >= seconds

    def row(self) -> Row:
        """Return it as it is stored."""
        report = self.report
        return Row(report.encoded(), report.module, report.log_content, self.recorded, self.attempts)

    def settle(self, result: XproxyResult | None, error: BaseException | None = None) -> None:
        """Tell the call what became of it."""
        if result is not None:
            result = with_warnings(result, self.warnings)
            if (scope := self.exchange.scope) is not None:  # read once: the app may let go of it at any moment
                scope.last_result = result
        self.exchange.call.settle(result, error)


@dataclass(slots=True, eq=False, repr=False)
class Job:
    """What a sender is to do: deliver reports from memory, or from the backlog.

    Args:
        single: by a request of its own, which tells the result.
        results: whether somebody may wait for a result.
        begun: what the pacing said when it began.
        sent: when that was, on the monotonic clock.
    """

    pending: list[Pending] = field(default_factory=list)
    rows: list[Row] = field(default_factory=list)
    single: bool = False
    results: bool = True
    begun: int = 0
    sent: float = 0.0

    def __len__(self) -> int:
        return len(self.pending) or len(self.rows)

    def report(self) -> Report:
        """Return the only report.

        Raises:
            ValueError: what is stored of it is damaged.
        """
        if self.pending:
            return self.pending[0].report
        row = self.rows[0]
        return Report.decoded(row.item, row.module, log_content=row.content)

    def items(self, *, plain: bool) -> Sequence[Item]:
        """Return the reports as bulk items.

        Args:
            plain: they need not be JSON.
        """
        if self.rows:
            return [row.item for row in self.rows]
        if plain:
            return [one.report.kept for one in self.pending]
        return [one.report.encoded() for one in considerately(self.pending)]


class Done(NamedTuple):
    """What became of a job."""

    job: Job
    outcomes: list[Outcome]


def refused_for_good(name: str) -> IngestError:
    """Return the error of a report whose sending failed in our own code."""
    return IngestError(f"{name} while it was sent")


def with_warnings(result: XproxyResult, warnings: tuple[str, ...]) -> XproxyResult:
    """Return a result that says these things, too."""
    return result.model_copy(update={"warnings": [*(result.warnings or ()), *warnings]}) if warnings else result


def row_report(row: Row) -> Report | None:
    """Return a stored report, or None if it is damaged."""
    try:
        report = Report.decoded(row.item, row.module, log_content=row.content)
    except (ValueError, RecursionError):
        return None
    return (
        report if isinstance(report.item, dict) and {"category", "provider_response_id"} <= set(report.item) else None
    )
