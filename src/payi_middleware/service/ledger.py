"""The ledger: books provider calls, charges limits, and answers what was spent."""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from sqlalchemy import Connection

from . import booking, clock, limits, records
from .errors import ServiceError
from .events import parse_event
from .records import RequestRecord, UserUsage
from .store import Store


class Ledger:
    """Keep the accounts in one SQLite file. Safe from several threads, and from several processes on one file.

    Args:
        database: a file's path, or `sqlite:///payi.db`. The file and its directories are made where missing.

    Raises:
        LedgerError: the file cannot be made, read or written; any method may raise it later, too.
    """

    def __init__(self, database: str | Path) -> None:
        self._store = Store(database)

    def ingest(self, item: Mapping[str, Any], *, received: datetime | None = None) -> dict[str, Any]:
        """Book one provider call, and return Pay-i's ingest answer. Amounts in it are Decimals of USD.

        Args:
            item: an ingest body with its context (`user_id`, `limit_ids`, `use_case_name` ...) in the body, as in
                Pay-i's bulk ingest: https://docs.pay-i.com/reference/requestsingest
            received: when it arrived; now, if not given.

        Raises:
            ServiceError: the item is refused, and nothing was changed.
        """
        priced = booking.price(parse_event(item, _received(received)))
        with self._store.write() as connection:
            return booking.book(connection, priced)

    def ingest_bulk(self, items: Sequence[Any], *, with_results: bool = False) -> dict[str, Any]:
        """Book many provider calls in one transaction, each judged alone, and return Pay-i's bulk answer.

        Args:
            items: bulk items; see `ingest`.
            with_results: add `results`, a list of `{item_index, xproxy_result}` for every item that was accepted.

        Returns:
            A repeat of an event is neither in `ingest_count` nor among the errors.
        """
        received = clock.now()
        priced = [_price_or_refuse(item, received) for item in items]
        with self._store.write() as connection:
            outcomes = [_book_or_refuse(connection, one) for one in priced]
        errors = [
            {"item_index": index, "xproxy_result": outcome.body()}
            for index, outcome in enumerate(outcomes)
            if isinstance(outcome, ServiceError)
        ]
        results = [
            {"item_index": index, "xproxy_result": outcome["xproxy_result"]}
            for index, outcome in enumerate(outcomes)
            if not isinstance(outcome, ServiceError)
        ]
        answer = {
            "request_id": f"req_{uuid.uuid4().hex}",
            "ingest_timestamp": clock.as_text(received),
            "ingest_count": sum("duplicate_request" not in result["xproxy_result"] for result in results),
            "error_count": len(errors),
            "item_error_count": len(errors),
            "total_count": len(outcomes),
            "errors": errors,
        }
        return answer | {"results": results} if with_results else answer

    def result(self, request_id: str) -> dict[str, Any] | None:
        """Return `{"xproxy_result": ...}` of a booked request, or None."""
        with self._store.read() as connection:
            return _result(connection, records.find(connection, request_id))

    def result_by_provider_response_id(self, category: str, provider_response_id: str) -> dict[str, Any] | None:
        """Return `{"xproxy_result": ...}` of the request that a provider's response was booked as, or None."""
        with self._store.read() as connection:
            return _result(connection, records.find_duplicate(connection, category, provider_response_id))

    def create_limit(
        self,
        *,
        limit_name: str,
        max: Decimal | float,  # noqa: A002 - Pay-i's name for it
        limit_id: str | None = None,
        limit_type: str = limits.ALLOW,
        threshold: Decimal | float | None = None,
    ) -> dict[str, Any]:
        """Make a limit and return it; an id that exists with the same max and threshold is returned as it is.

        Args:
            limit_name: unique.
            max: USD, above 0.
            limit_id: made up if not given.
            limit_type: "allow" or "block".
            threshold: the fraction of max from which on the limit counts as exceeded, from 0.75 to below 1; else 1.

        Raises:
            ServiceError: a setting is refused: https://docs.pay-i.com/docs/error-code-strings
        """
        new = limits.parse_limit(
            limit_name=limit_name, maximum=max, limit_id=limit_id, limit_type=limit_type, threshold=threshold
        )
        with self._store.write() as connection:
            return limits.create(connection, new)

    def limit(self, limit_id: str) -> dict[str, Any]:
        """Return a limit with its totals.

        Raises:
            ServiceError: 404 `limit_not_found`.
        """
        with self._store.read() as connection:
            return limits.get(connection, limit_id)

    def limits(self) -> list[dict[str, Any]]:
        """Return all limits with their totals, the oldest first."""
        with self._store.read() as connection:
            return limits.every(connection)

    def usage_by_user(self) -> list[UserUsage]:
        """Return what each user's requests add up to, the dearest first."""
        with self._store.read() as connection:
            return records.by_user(connection)

    def requests(
        self, *, user_id: str | None = None, limit: int = 100, newest_first: bool = True
    ) -> list[RequestRecord]:
        """Read booked requests back.

        Args:
            user_id: only those of this user.
            limit: at most so many.
            newest_first: by the order they were booked in.
        """
        with self._store.read() as connection:
            return records.stored(connection, user_id=user_id, limit=limit, newest_first=newest_first)

    def close(self) -> None:
        """Close the file. The ledger cannot be used afterwards; closing twice is fine."""
        self._store.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _received(received: datetime | None) -> datetime:
    return clock.now() if received is None else clock.as_utc(received)


def _price_or_refuse(item: Any, received: datetime) -> booking.Priced | ServiceError:
    try:
        return booking.price(parse_event(item, received))
    except ServiceError as refusal:
        return refusal


def _book_or_refuse(connection: Connection, priced: booking.Priced | ServiceError) -> dict[str, Any] | ServiceError:
    if isinstance(priced, ServiceError):
        return priced
    try:
        return booking.book(connection, priced)
    except ServiceError as refusal:
        return refusal


def _result(connection: Connection, row: Any) -> dict[str, Any] | None:
    if row is None:
        return None
    states = records.limit_states(connection, [row["request_id"]])
    return {"xproxy_result": records.result_of(row, states.get(row["request_id"], {}))}
