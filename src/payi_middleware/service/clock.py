"""Times: UTC, written as ISO 8601 with six decimals and `Z`, so that their texts sort like the times."""

from __future__ import annotations

from datetime import UTC, datetime


def now() -> datetime:
    """Return the current time in UTC."""
    return datetime.now(UTC)


def as_utc(moment: datetime) -> datetime:
    """Return a time in UTC; one without an offset is taken for UTC."""
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)


def as_text(moment: datetime) -> str:
    """Write a UTC time: `2026-11-22T03:21:00.000000Z`."""
    return moment.isoformat(timespec="microseconds").replace("+00:00", "Z")


def from_text(text: str) -> datetime:
    """Read what `as_text` wrote."""
    return datetime.fromisoformat(text)
