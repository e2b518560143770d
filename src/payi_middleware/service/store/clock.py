"""Times: UTC; microseconds since 1970 in the database, ISO 8601 with six decimals and `Z` in answers."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)

HOUR = 3_600_000_000
DAY = 24 * HOUR
"""Microseconds."""


def now() -> datetime:
    """Return the current time in UTC."""
    return datetime.now(UTC)


def as_utc(moment: datetime) -> datetime:
    """Return a time in UTC; one without an offset is taken for UTC."""
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)


def micros(moment: datetime) -> int:
    """Return the microseconds since 1970 of a UTC time, exactly."""
    return (moment - _EPOCH) // _MICROSECOND


def from_micros(stored: int) -> datetime:
    """Read what `micros` wrote."""
    return _EPOCH + timedelta(microseconds=stored)


def as_text(moment: datetime | int) -> str:
    """Write a UTC time, or a stored one: `2026-11-22T03:21:00.000000Z`."""
    if isinstance(moment, int):
        moment = from_micros(moment)
    return moment.isoformat(timespec="microseconds").replace("+00:00", "Z")
