"""The ledger: books provider calls, charges limits, and answers what was spent."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from itertools import islice
from pathlib import Path
from types import TracebackType
from typing import Any, Concatenate, ParamSpec, Self, TypeVar

from sqlalchemy import Connection, select

from payi_middleware.granting import Asked

from .accounts import applications, booking, keys, leases, limits, records, rollups, unpriced
from .accounts.columns import columns_of
from .accounts.events import Event, parse_event
from .accounts.pricing import Pricing
from .accounts.records import RequestRecord, UserUsage
from .errors import ServiceError
from .prices import editions
from .prices.catalogue import Catalogue, parse
from .prices.own import Pair
from .prices.price_list import Prices
from .prices.resource import Resource
from .store import clock
from .store.engine import Store
from .store.names import Known

_P = ParamSpec("_P")
_T = TypeVar("_T")


class Ledger:
    """Keep an application's accounts. Safe from several threads, and from several processes on one database.

    Args:
        database: a file's path, `sqlite:///payi.db` or `postgresql+psycopg://user@host/name`. A file and its
            directories are made where missing.
        application: whose accounts; see `applications`.

    Raises:
        LedgerError: the database cannot be made, read or written; any method may raise it later, too.
    """

    def __init__(self, database: str | Path, application: str = applications.DEFAULT) -> None:
        self._store = Store(database)
        self._known = Known()
        self.prices = Prices(self._store)
        """What things cost."""
        self.application_id = self._store.write(lambda connection: _open(connection, application))

    @property
    def name(self) -> str:
        """The database, without its password."""
        return self._store.name

    def of(self, application_id: int) -> Self:
        """Return the ledger of another application in the same database; closing either closes both."""
        other = object.__new__(type(self))
        other._store, other._known, other.application_id = self._store, self._known, application_id
        other.prices = self.prices
        return other

    def read(self, function: Callable[Concatenate[Connection, int, _P], _T], *args: _P.args, **kwargs: _P.kwargs) -> _T:
        """Call a function of `accounts` with a connection for reading, and this application's id."""
        return self._store.read(lambda connection: function(connection, self.application_id, *args, **kwargs))

    def snapshot(self, function: Callable[[Connection, int], _T]) -> _T:
        """Call a function with a connection that sees one state of everything, and this application's id."""
        return self._store.read(lambda connection: function(connection, self.application_id), snapshot=True)

    def write(
        self, function: Callable[Concatenate[Connection, int, _P], _T], *args: _P.args, **kwargs: _P.kwargs
    ) -> _T:
        """Call a function of `accounts` with a transaction that may write, and this application's id."""
        return self._store.write(lambda connection: function(connection, self.application_id, *args, **kwargs))

    def key_holder(self, key: str) -> int | None:
        """Return the id of the application that a key in the database is of, or None if there is no such key."""
        return self._store.read(lambda connection: keys.verify(connection, key))

    def create_key(self, name: str, application: str | None = None) -> str:
        """Make a key and return it; see `accounts.keys.create`."""
        return self._store.write(lambda connection: keys.create(connection, name, application))

    def unfolded_by_application(self) -> dict[int, int]:
        """Return how many transactions are not added up yet, by the id of their application."""
        return self._store.read(rollups.unfolded)

    def unfolded(self) -> int:
        """Return how many transactions are not added up yet, of all applications."""
        return sum(self.unfolded_by_application().values())

    def will_tidy(self) -> None:
        """Promise to call `tidy` every second or so."""
        self._store.will_tidy()

    def tidy(self) -> None:
        """Spare those who book some of the work that writing to a file brings along."""
        self._store.tidy()

    def check(self) -> None:
        """Find out whether the database answers.

        Raises:
            LedgerError: it does not.
        """
        self._store.read(lambda connection: connection.scalar(select(1)))

    def holder(self, key_id: str) -> keys.Holder | None:
        """Return the key with this id; see `accounts.keys.holder`."""
        return self._store.read(lambda connection: keys.holder(connection, key_id))

    def holder_of(self, key: str) -> keys.Holder | None:
        """Return what a whole key is; see `accounts.keys.holder_of`."""
        return self._store.read(lambda connection: keys.holder_of(connection, key))

    def named_keys(self) -> list[tuple[str, str, int]]:
        """Return the keys in the database; see `accounts.keys.every`."""
        return self._store.read(keys.every)

    def revoke_key(self, name: str) -> bool:
        """Take a key away and return whether there was one."""
        return self._store.write(lambda connection: keys.revoke(connection, name))

    def ingest(self, item: Mapping[str, Any], *, received: datetime | None = None) -> dict[str, Any]:
        """Book one provider call, and return Pay-i's ingest answer. Amounts in it are Decimals of USD.

        Args:
            item: an ingest body with its context (`user_id`, `limit_ids`, `use_case_name` ...) in the body, as in
                Pay-i's bulk ingest: https://docs.pay-i.com/reference/requestsingest
            received: when it arrived; now, if not given.

        Raises:
            ServiceError: the item is refused, and nothing was changed.
        """
        event = parse_event(item, clock.now() if received is None else clock.as_utc(received))
        (outcome,) = self.book([event])
        if isinstance(outcome, ServiceError):
            raise outcome
        return records.answer_of(outcome.row, repeated=outcome.repeated)

    def ingest_bulk(self, items: Sequence[Any], *, with_results: bool = False) -> dict[str, Any]:
        """Book many provider calls in one transaction, each judged alone, and return Pay-i's bulk answer.

        Args:
            items: bulk items; see `ingest`.
            with_results: add `results`, a list of `{item_index, xproxy_result}` for every item that was accepted.

        Returns:
            A repeat of an event is neither in `ingest_count` nor among the errors.
        """
        received = clock.now()
        parsed = parse_events(items, received)
        booked = iter(self.book([event for event in parsed if isinstance(event, Event)]))
        outcomes = [next(booked) if isinstance(event, Event) else event for event in parsed]
        return bulk_answer(outcomes, received, with_results=with_results)

    def book(self, events: Sequence[Event]) -> list[booking.Outcome]:
        """Book provider calls in one transaction, and return what became of each."""
        (outcomes,) = self.book_of([(self.application_id, events)])
        return outcomes

    def book_of(self, slips: Sequence[tuple[int, Sequence[Event]]]) -> list[list[booking.Outcome]]:
        """Book the provider calls of several applications in one transaction; see `book`."""
        of: dict[int, list[Event]] = {}
        for application_id, events in slips:
            of.setdefault(application_id, []).extend(events)
        if not any(of.values()):
            return [[] for _ in slips]
        pricings = [Pricing(self.prices, application_id, events) for application_id, events in sorted(of.items())]

        def write(connection: Connection) -> dict[int, tuple[list[booking.Outcome], booking.Names]]:
            return {pricing.application_id: booking.book(connection, pricing, self._known) for pricing in pricings}

        booked = self._store.write(write)
        for application_id, (_, names) in booked.items():
            self._known.learn(application_id, names)
        rest = {application_id: iter(outcomes) for application_id, (outcomes, _) in booked.items()}
        return [list(islice(rest[application_id], len(events))) for application_id, events in slips]

    def result(self, request_id: str) -> dict[str, Any] | None:
        """Return `{"xproxy_result": ...}` of a booked request, or None."""
        return _result(self.read(records.find, request_id))

    def result_by_provider_response_id(self, category: str, provider_response_id: str) -> dict[str, Any] | None:
        """Return `{"xproxy_result": ...}` of the request that a provider's response was booked as, or None."""
        return _result(self.read(records.find_response, category, provider_response_id))

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
        return self.write(limits.create, new)

    def limit(self, limit_id: str) -> dict[str, Any]:
        """Return a limit with its totals.

        Raises:
            ServiceError: 404 `limit_not_found`.
        """
        return self.read(limits.get, limit_id)

    def limits(self) -> list[dict[str, Any]]:
        """Return all limits with their totals, the oldest first."""
        return self.read(limits.every)

    def resource(self, category: str, name: str) -> Resource | None:
        """Return what a resource costs now, or None if nobody knows."""
        prices = self.prices.of(self.application_id, [Pair(category, name)])
        return prices.find(category, name, None, clock.now())

    def lease(self, limit_id: str, holder: str, asked: Asked) -> dict[str, Any]:
        """Give a process a part of a limit; see `accounts.leases.take`.

        Raises:
            ServiceError: 404 `limit_not_found`.
        """
        return self.write(leases.take, limit_id, holder, asked)

    def add_prices(self, data: bytes) -> tuple[editions.Edition, Catalogue] | None:
        """Store an edition of the price catalogue, by which events of all applications are priced from now on.

        Args:
            data: JSON as genai-prices publishes it.

        Returns:
            The edition, or None if it is the same as the newest one.

        Raises:
            ValueError: it is something else; nothing was changed.
        """
        catalogue = parse(data)
        edition = self._store.write(lambda connection: editions.add(connection, data, clock.now()))
        return None if edition is None else (edition, catalogue)

    def unpriced(self, limit: int = 1000) -> list[unpriced.Unpriced]:
        """Return what was used and has no price, what was seen last first; see `accounts.unpriced`.

        It is added up with the rollups, by whoever serves the dashboard.
        """
        return self.read(unpriced.every, limit)

    def usage_by_user(self) -> list[UserUsage]:
        """Return what each user's requests add up to, the dearest first."""
        return self.read(records.by_user)

    def requests(
        self, *, user_id: str | None = None, limit: int = 100, newest_first: bool = True
    ) -> list[RequestRecord]:
        """Read booked requests back.

        Args:
            user_id: only those of this user.
            limit: at most so many.
            newest_first: by the order they were booked in.
        """
        return self.read(records.stored, user_id=user_id, limit=limit, newest_first=newest_first)

    def close(self) -> None:
        """Close the file. The ledger cannot be used afterwards; closing twice is fine."""
        self._store.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _open(connection: Connection, application: str) -> int:
    editions.note_built_in(connection)
    return applications.find_or_make(connection, application)


def parse_events(
    items: Sequence[Any], received: datetime, *, takes_block_limits: bool = True
) -> list[Event | ServiceError]:
    """Check bulk items, each alone: an event, or why it is refused; see `parse_event`."""
    parsed = [_event_or_refusal(item, received, takes_block_limits) for item in items]
    for event in parsed:
        if isinstance(event, Event):
            columns_of(event)  # on the caller's thread: whoever books them has the most to do
    return parsed


def _event_or_refusal(item: Any, received: datetime, takes_block_limits: bool) -> Event | ServiceError:
    try:
        return parse_event(item, received, takes_block_limits=takes_block_limits)
    except ServiceError as refusal:
        return refusal


def bulk_answer(outcomes: Sequence[booking.Outcome], received: datetime, *, with_results: bool) -> dict[str, Any]:
    """Write Pay-i's answer to a bulk ingest: what became of each item."""
    errors = [
        {"item_index": index, "xproxy_result": outcome.body()}
        for index, outcome in enumerate(outcomes)
        if isinstance(outcome, ServiceError)
    ]
    answer: dict[str, Any] = {
        "request_id": f"req_{uuid.uuid4().hex}",
        "ingest_timestamp": clock.as_text(received),
        "ingest_count": sum(not isinstance(outcome, ServiceError) and not outcome.repeated for outcome in outcomes),
        "error_count": len(errors),
        "item_error_count": len(errors),
        "total_count": len(outcomes),
        "errors": errors,
    }
    if with_results:
        answer["results"] = [
            {"item_index": index, "xproxy_result": records.result_of(outcome.row, repeated=outcome.repeated)}
            for index, outcome in enumerate(outcomes)
            if not isinstance(outcome, ServiceError)
        ]
    return answer


def _result(row: Mapping[Any, Any] | None) -> dict[str, Any] | None:
    return None if row is None else {"xproxy_result": records.result_of(row)}
