"""Where reports go: what a delivering thread needs to know of it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from payi_middleware.exceptions import IngestConnectionError, IngestError, IngestRefusedError, IngestTimeoutError
from payi_middleware.report import Item, Report
from payi_middleware.results import XproxyResult

__all__ = ["Outcome", "Sink", "error_name", "is_for_what_was_sent", "is_server_fault", "worth_retrying"]

Outcome = XproxyResult | IngestError | None
"""What became of a report: its result; why it was not accepted; None if it was, and nobody said more."""

_RETRIED = frozenset({408, 425, 429})


class Sink(Protocol):
    """Where reports go. One sink serves several threads."""

    @property
    def tells_results(self) -> bool | None:
        """Whether `send_many` returns results, so that there is no need to send singly what somebody waits for.

        None before it was tried.
        """

    @property
    def takes_items(self) -> bool:
        """Whether `send_many` takes items that are no JSON, as it looks into them itself."""

    def open(self) -> None:
        """Load and connect what the first report would have to wait for.

        Raises:
            IngestError: it is not to be had at present; the first report will try again.
        """

    def send(self, report: Report) -> XproxyResult:
        """Deliver one report.

        Raises:
            IngestError: it was not accepted.
        """

    def send_many(self, items: Sequence[Item], *, results: bool = True) -> list[Outcome]:
        """Deliver items and return what became of each.

        Args:
            results: somebody may wait for them; otherwise they need not be told.

        Raises:
            IngestError: none was accepted, or it is not known whether they were.
        """

    def result(self, category: str, provider_response_id: str) -> XproxyResult:
        """Fetch the result of a report that was accepted.

        Raises:
            IngestError: it is not to be had.
        """

    def close(self) -> None:
        """Let go of connections and files; the sink is used again after that if more reports come."""


def worth_retrying(error: IngestError) -> bool:
    """Return whether the same report may be accepted later."""
    if isinstance(error, IngestRefusedError):
        return error.status >= 500 or error.status in _RETRIED
    return isinstance(error, IngestConnectionError | IngestTimeoutError)


def is_server_fault(error: IngestError) -> bool:
    """Return whether the service says that it failed at what it was sent, which may be the report's doing."""
    return isinstance(error, IngestRefusedError) and error.status >= 500


def is_for_what_was_sent(error: IngestError) -> bool:
    """Return whether an error may be for what was sent: it failed, hung or died of it, or it was too much."""
    return worth_retrying(error) and (is_server_fault(error) or not isinstance(error, IngestRefusedError))


def error_name(error: BaseException) -> str:
    """Return an error's type, or what the service's answer was, and nothing of what it says."""
    if isinstance(error, IngestRefusedError):
        return f"HTTP {error.status} {error.code[:64]}"
    return type(error).__name__
