"""The embedded ledger as a sink: the laptop's own Pay-i, in this process."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from sqlalchemy.exc import OperationalError

from .delivery import Outcome
from .exceptions import IngestConnectionError, IngestRefusedError
from .forks import uncut
from .granting import Asked
from .limits.estimates import Rates, Resource
from .providers.values import loads
from .report import Item, Report
from .results import XproxyResult
from .service.errors import ServiceError
from .service.ledger import Ledger
from .service.prices.catalogue import find_resource
from .service.units import Counts

_PRICED = 1_000
"""Units that are priced to find a price: few enough for no price for long contexts to apply."""

_AT_PRESENT = (OSError, OperationalError)
"""What the disk, the file's lock or SQLite itself may say now and not later: never a reason to give a report up."""
_AT_ONCE = 50
"""Reports booked in one transaction: the more, the less each costs; but the app's threads wait while it computes. It
lets go of the interpreter whenever it asks SQLite for something, and so needs no other rests."""


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
        except _AT_PRESENT as error:
            raise IngestConnectionError(type(error).__name__) from error

    def _opened(self) -> Ledger:
        if self._ledger is None:
            with uncut:  # SQLAlchemy loads some of itself now, and pricing does
                find_resource("system.openai", "gpt-4o-mini", datetime.now(UTC))
                self._ledger = Ledger(self._path)
        return self._ledger

    def send(self, report: Report) -> XproxyResult:
        """Book one report and return its result.

        Raises:
            IngestRefusedError: the ledger refused it, as the service would have done.
            IngestConnectionError: the file cannot be written at present.
        """
        with _translated():
            answer = self._opened().ingest(report.item)
        return XproxyResult.model_validate(answer["xproxy_result"])

    @property
    def tells_results(self) -> bool:
        """It does."""
        return True

    @property
    def takes_items(self) -> bool:
        """It does."""
        return True

    def send_many(self, items: Sequence[Item], *, results: bool = True) -> list[Outcome]:
        """Book reports and return what became of each.

        Raises:
            IngestConnectionError: the file cannot be written at present; some may have been booked.
        """
        portions = (items[start : start + _AT_ONCE] for start in range(0, len(items), _AT_ONCE))
        return [outcome for portion in portions for outcome in self._book(portion, results)]

    def _book(self, items: Sequence[Item], results: bool) -> list[Outcome]:
        with _translated():
            plain = [loads(item) if isinstance(item, bytes) else item for item in items]
            answer = self._opened().ingest_bulk(plain, with_results=results)
        outcomes: list[Outcome] = [None] * len(items)
        for made in answer.get("results", ()):
            outcomes[made["item_index"]] = XproxyResult.model_validate(made["xproxy_result"])
        for failed in answer["errors"]:
            told = failed["xproxy_result"]
            why = told["xproxy_error"]
            outcomes[failed["item_index"]] = IngestRefusedError(told["statusCode"], why["code"], why["message"])
        return outcomes

    def result(self, category: str, provider_response_id: str) -> XproxyResult:
        """Return the result of a report that was booked.

        Raises:
            IngestRefusedError: there is none.
            IngestConnectionError: the file cannot be read at present.
        """
        with _translated():
            answer = self._opened().result_by_provider_response_id(category, provider_response_id)
        if answer is None:
            raise IngestRefusedError(404, "request_not_found", "no such request")
        return XproxyResult.model_validate(answer["xproxy_result"])

    def limit(self, limit_id: str) -> Mapping[str, Any]:
        """Return a limit.

        Raises:
            IngestRefusedError: 404 `limit_not_found`.
            IngestConnectionError: the file cannot be read at present.
        """
        with _translated():
            return self._opened().limit(limit_id)

    def lease(self, limit_id: str, holder: str, asked: Asked) -> Mapping[str, Any] | None:
        """Take a part of a limit, as other processes may use the file, too.

        Raises:
            IngestRefusedError: 404 `limit_not_found`.
            IngestConnectionError: the file cannot be written at present.
        """
        with _translated():
            return self._opened().lease(limit_id, holder, asked)

    def rates(self, resource: Resource) -> Rates | None:
        """Return a resource's prices, or None if it has none.

        Raises:
            IngestConnectionError: the file cannot be read at present.
        """
        with _translated():
            found = self._opened().resource(*resource)
        if found is None:
            return None
        rates = {}
        for unit in found.rates:
            price = found.price({unit: Counts(_PRICED, _PRICED)})
            rates[unit] = (price.input / _PRICED, price.output / _PRICED)
        return Rates(rates)

    def close(self) -> None:
        """Close the file."""
        if self._ledger is not None:
            self._ledger.close()


@contextmanager
def _translated() -> Iterator[None]:
    """Raise what a service's client would raise."""
    try:
        yield
    except ServiceError as error:
        raise IngestRefusedError(error.status, error.code, error.message) from error
    except _AT_PRESENT as error:
        raise IngestConnectionError(type(error).__name__) from error
