"""Booking requests: what is stored and charged for them, many at a time, within one transaction.

Whatever a request needs (its limits, its use case, the request that it may be a repeat of) is read for all of them at
once, and everything is checked before the first write, so that a refusal has changed nothing.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from sqlalchemy import Connection, bindparam, select

from payi_middleware.forks import ForkSafeLock
from payi_middleware.service.errors import ServiceError, invalid
from payi_middleware.service.store.encoding import decoded, encoded_states
from payi_middleware.service.store.money import Amount
from payi_middleware.service.store.names import Kind, Known, key_of, pair
from payi_middleware.service.store.reading import Reads, Rows
from payi_middleware.service.store.schema import batches, request_limits, requests
from payi_middleware.service.store.writing import Writes, padded, portions

from . import limits, use_cases
from .charges import Charged, Charges
from .columns import columns_of, exchange_without_content, instance_key
from .events import Event
from .pricing import Priced, Pricing

_OF_RESPONSES = (
    requests.c.application_id == bindparam("application"),
    requests.c.response_key.in_(bindparam("named", expanding=True)),
)
_KNOWN = select(requests.c.response_key).where(*_OF_RESPONSES)
_STORED = select(requests).where(*_OF_RESPONSES)
_MOST_QUANTA = 10**24
"""A billion dollars: a mistake in one request, and sums of many such would leave 64 bits."""
_EPOCH_MS = 1_577_836_800_000
"""2020-01-01: what batches count their milliseconds from, so that 41 bits last until 2089."""


class Booked(NamedTuple):
    """A request as it is stored, and whether it had been booked before."""

    row: Mapping[Any, Any]
    repeated: bool = False


Outcome = Booked | ServiceError
Names = set[tuple[Kind, str]]


def book(connection: Connection, pricing: Pricing, known: Known) -> tuple[list[Outcome], Names]:
    """Store and charge events, each once: a repeat is answered with the request that its first delivery became.

    Args:
        connection: a transaction that may write.
        pricing: the events of an application.
        known: the names that were written before; tell it those that were used once the transaction is through.

    Returns:
        What became of each event, in their order, and the names that were used.
    """
    booking = _Booking(connection, pricing.application_id, known)
    return booking.book(pricing), booking.names


class _Booking:
    """One transaction's part that is one application's."""

    def __init__(self, connection: Connection, application_id: int, known: Known) -> None:
        self._connection = connection
        self._application_id = application_id
        self._known = known
        self.names: Names = set()
        self._batch = _next_batch()
        self._prefix = f"req_{self._batch:016x}{secrets.randbits(32):08x}"

    def book(self, pricing: Pricing) -> list[Outcome]:
        reads = Reads(self._connection)
        pricing.ask(reads)  # first, see `Prices`
        asked = self._ask_stored(reads, pricing.events)
        limited = limits.ask_locked(
            reads, self._application_id, {limit_id for event in pricing.events for limit_id in event.limit_ids}
        )
        entering = use_cases.Entering(reads, self._application_id, pricing.events)
        reads.send()
        stored = self._stored(asked)
        locked = {row["limit_id"]: row for row in limited}
        outcomes: list[Outcome | int] = []
        accepted: list[Priced] = []
        places: dict[bytes, int] = {}
        for one in pricing.current(self._connection):
            key = columns_of(one.event)["response_key"]
            if key is not None and key in stored:
                outcomes.append(Booked(stored[key], repeated=True))
            elif key is not None and key in places:
                outcomes.append(~places[key])
            elif one.input_cost + one.output_cost > _MOST_QUANTA:
                outcomes.append(invalid("units: this costs more than a billion dollars"))
            elif unknown := [limit_id for limit_id in one.event.limit_ids if limit_id not in locked]:
                outcomes.append(invalid(f"there is no limit {', '.join(unknown)}", "invalid_limit_ids"))
            elif not one.event.takes_block_limits and (blocking := _blocking(one.event, locked)):
                refusal = f"limit {', '.join(blocking)} is of type block, which an ingest cannot obey"
                outcomes.append(invalid(refusal, "blocking_limit_not_allowed"))
            else:
                if key is not None:
                    places[key] = len(accepted)
                outcomes.append(len(accepted))
                accepted.append(one)
        rows = self._write(accepted, locked, entering) if accepted else []
        return [
            outcome if not isinstance(outcome, int)
            else Booked(rows[outcome]) if outcome >= 0
            else Booked(rows[~outcome], repeated=True)
            for outcome in outcomes
        ]  # fmt: skip

    def _ask_stored(self, reads: Reads, events: Sequence[Event]) -> list[Rows]:
        keys = [key for event in events if (key := columns_of(event)["response_key"]) is not None]
        return [reads.ask(_KNOWN, self._named(portion)) for portion in portions(keys)]

    def _stored(self, asked: Sequence[Rows]) -> dict[bytes, Mapping[Any, Any]]:
        """Return the requests that were booked before, by the key of the response that they are of."""
        reads = Reads(self._connection)
        known = [row["response_key"] for rows in asked for row in rows]
        stored = [reads.ask(_STORED, self._named(portion)) for portion in portions(known)]
        reads.send()
        return {row["response_key"]: row for rows in stored for row in rows}

    def _named(self, keys: Sequence[bytes]) -> dict[str, Any]:
        return {"application": self._application_id, "named": padded(keys)}

    def _write(
        self, accepted: Sequence[Priced], locked: dict[str, Mapping[Any, Any]], entering: use_cases.Entering
    ) -> list[dict[str, Any]]:
        entered = entering.enter(self._connection, [one.event for one in accepted])
        if automatic := entered.limit_ids - locked.keys():
            locked |= limits.lock(self._connection, self._application_id, automatic)
        charges = Charges(locked.values())
        rows = [self._row(number, one, charges, entered) for number, one in enumerate(accepted)]
        writes = Writes(self._connection)
        # Sorted, so that two transactions that hold the same responses do not wait for each other.
        writes.insert(requests, sorted(rows, key=_by_response))
        limits.charge(writes, self._application_id, charges.sums())
        writes.insert(request_limits, list(self._charged(rows)))
        self.names = names_in(rows)
        self._known.write(writes, self._application_id, self.names)
        batch = {"application_id": self._application_id, "batch": self._batch, "requests": len(rows)}
        writes.insert(batches, [batch])
        writes.send()
        return rows

    def _charged(self, rows: Sequence[Mapping[str, Any]]) -> Iterator[dict[str, Any]]:
        for row in rows:
            for limit_id in decoded(row["limits"]) or ():
                yield {
                    "application_id": self._application_id,
                    "limit_key": key_of(Kind.LIMIT, limit_id),
                    "request_id": row["request_id"],
                    "batch": self._batch,
                    "user_key": row["user_key"],
                }

    def _row(self, number: int, priced: Priced, charges: Charges, entered: use_cases.Entered) -> dict[str, Any]:
        event = priced.event
        use_case = entered.of(event)
        limit_ids = [*event.limit_ids]
        own_limit = use_case.limit_id  # of which the instance still tells when it was deleted
        if own_limit is not None and own_limit not in limit_ids and charges.has(own_limit):
            limit_ids.append(own_limit)
        charged = charges.add(event, limit_ids, priced.input_cost, priced.output_cost)
        row = {
            **columns_of(event),
            **priced.columns,
            "application_id": self._application_id,
            "request_id": f"{self._prefix}{number:06x}",
            "batch": self._batch,
            "limits": encoded_states(charged.states) if charged.states else None,
            "warnings": _warnings(priced, charged, use_case) or None,
        }
        row["overrun_micros"], row["overrun_rest"] = Amount.of(charged.overrun) if charged.overrun else _NOTHING
        if use_case.use_case_id != row["use_case_id"]:
            row["use_case_id"] = use_case.use_case_id
            row["instance_key"] = instance_key(event.use_case_name, use_case.use_case_id)
        if event.exchange and not use_case.logging_enabled:
            row["exchange"] = exchange_without_content(event)
        return row


_numbering = ForkSafeLock()
_newest = 0


def _next_batch() -> int:
    """Return a transaction's number, which its requests' ids begin with: of its time, and after those of this process.

    Others' of the same millisecond differ from it in 22 random bits; what is added to the one before has ten.
    """
    global _newest
    with _numbering:
        at = (time.time_ns() // 1_000_000 - _EPOCH_MS) << 22
        _newest = max(at | secrets.randbits(22), _newest + 1 + secrets.randbits(10))
        return _newest


_NOTHING = Amount(0, 0)
_NAMED = (
    (Kind.USER, "user_id"),
    (Kind.ACCOUNT, "account_name"),
    (Kind.USE_CASE, "use_case_name"),
    (Kind.STEP, "use_case_step"),
)


def names_in(rows: Sequence[Mapping[Any, Any]]) -> Names:
    """Return the names that requests are grouped and searched by."""
    resources = {(row["category"], row["resource"]) for row in rows}
    cases = {(row["use_case_name"], row["use_case_id"]) for row in rows}
    used = {(Kind.RESOURCE, pair(category, resource)) for category, resource in resources}
    used |= {(kind, name) for kind, column in _NAMED for name in {row[column] for row in rows} if name}
    used |= {(Kind.INSTANCE, pair(name, use_case_id)) for name, use_case_id in cases if name and use_case_id}
    used |= {(Kind.LIMIT, limit_id) for row in rows for limit_id in decoded(row["limits"]) or ()}
    return used


def _blocking(event: Event, locked: Mapping[str, Mapping[Any, Any]]) -> list[str]:
    return [limit_id for limit_id in event.limit_ids if locked[limit_id]["limit_type"] == limits.BLOCK]


def _by_response(row: Mapping[str, Any]) -> bytes:
    return row["response_key"] or b""


def _warnings(priced: Priced, charged: Charged, use_case: use_cases.Instance) -> list[str]:
    event, warnings = priced.event, []
    if event.use_case_id and not event.use_case_name:
        warnings.append("use_case_id was ignored: it came without a use_case_name")
    version = event.use_case_version if event.use_case_name else None
    if version is not None and not 1 <= version <= use_case.type_version:
        warnings.append(f"use_case_version {version} does not exist: recorded as it is")
    if event.units and priced.resource is None and not event.blocked_by:
        named = f"{event.category}/{event.resource}" if event.resource else f"{event.category} without a resource"
        warnings.append(f"no price is known for {named}: recorded at no cost")
    elif priced.unknown:
        warnings.append(f"no price is known for some units: {', '.join(sorted(priced.unknown))}")
    if event.units and priced.resource is not None and not event.blocked_by:
        warnings.extend(priced.resource.warnings)
        if priced.tier and priced.tier not in priced.resource.tiers:
            warnings.append(f"no price is known for the service tier {priced.tier}: priced as standard")
    return [*warnings, *charged.warnings]
