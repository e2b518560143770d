"""The embedded ledger as a sink: the laptop's own Pay-i, in this process."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

from .exceptions import IngestConnectionError, IngestRefusedError
from .report import Report
from .results import XproxyResult
from .service.errors import ServiceError
from .service.ledger import Ledger
from .service.pricing import find_resource


class EmbeddedSink:
    """Books reports in a SQLite file.

    Args:
        path: the file; it is made if it is not there.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._ledger: Ledger | None = None

    def open(self) -> None:
        """Open the file and load the price list.

        Raises:
            IngestConnectionError: the file cannot be opened at present.
        """
        try:
            self._opened()
        except OSError as error:
            raise IngestConnectionError(type(error).__name__) from error
        find_resource("system.openai", "gpt-4o-mini", datetime.now(UTC))

    def _opened(self) -> Ledger:
        if self._ledger is None:
            self._ledger = Ledger(self._path)
        return self._ledger

    def send(self, report: Report) -> XproxyResult:
        """Book one report and return its result.

        Raises:
            IngestRefusedError: the ledger refused it, as the service would have done.
            IngestConnectionError: the file cannot be written at present.
        """
        try:
            answer = self._opened().ingest(report.item)
        except ServiceError as error:
            raise IngestRefusedError(error.status, error.code, error.message) from error
        except OSError as error:
            raise IngestConnectionError(type(error).__name__) from error
        return XproxyResult.model_validate(answer["xproxy_result"])

    def close(self) -> None:
        """Close the file."""
        if self._ledger is not None:
            self._ledger.close()
