"""What becomes of a report that was not accepted. No I/O."""

from __future__ import annotations

from time import time
from typing import NamedTuple

from payi_middleware.exceptions import IngestError, IngestRefusedError
from payi_middleware.journal import DeadLetter, Row
from payi_middleware.report import Report

from .sinks import is_for_what_was_sent, is_server_fault, worth_retrying

__all__ = ["MOST_ATTEMPTS", "Again", "dead_letter", "verdict"]

MOST_ATTEMPTS = 5
"""Server errors that one report may cause, each after others were accepted, before it counts as refused for good."""
_MOST_BROKEN = 4 * MOST_ATTEMPTS
"""The same for connections that break: networks do that by themselves more often."""
_BLOCK_REFUSED = "blocking_limit_not_allowed"


class Again(NamedTuple):
    """A report is sent again.

    Args:
        report: as it is to be sent.
        attempts: see `Row`.
        warning: what its result has to say about that.
    """

    report: Report
    attempts: int
    warning: str | None = None


def verdict(report: Report, attempts: int, error: IngestError, *, alone: bool, suspect: bool) -> Again | None:
    """Return how a report is sent again, or None if it is refused for good.

    Args:
        alone: it was sent alone: the failure may be its own doing, and others are tried before it is again.
        suspect: besides, others have been accepted since the last one that failed so.
    """
    if worth_retrying(error):
        if not (alone and is_for_what_was_sent(error)):
            return Again(report, attempts)
        attempts += suspect
        most = MOST_ATTEMPTS if is_server_fault(error) else _MOST_BROKEN
        return Again(report, attempts) if attempts < most else None
    if isinstance(error, IngestRefusedError) and error.code == _BLOCK_REFUSED:
        return _without_limits(report, attempts, error.limit_ids)
    return None


def _without_limits(report: Report, attempts: int, refused: tuple[str, ...]) -> Again | None:
    """Leave out the limits that the service refused, which are all where it does not say which.

    The hosted API refuses block limits on ingest, whose money is spent all the same.
    """
    given = tuple(report.item.get("limit_ids") or ())
    gone = tuple(limit for limit in given if limit in refused) or given
    if not gone:
        return None
    item = {name: value for name, value in report.item.items() if name != "limit_ids"}
    if kept := [limit for limit in given if limit not in gone]:
        item["limit_ids"] = kept
    names = ", ".join(gone)
    warning = f"not counted against {names}: a block limit takes no report of a call that was made already"
    return Again(Report(item, report.module, report.log_content), attempts, warning=warning)


def dead_letter(row: Row, error: IngestError) -> DeadLetter:
    """Return what is kept of a report that was refused."""
    if isinstance(error, IngestRefusedError):
        return DeadLetter(row, time(), error.status, error.code, error.message)
    return DeadLetter(row, time(), 0, type(error).__name__, str(error))
