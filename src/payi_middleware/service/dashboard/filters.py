"""What a page is about, as its URL says: a period, and whose and which requests."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from enum import StrEnum
from typing import Self
from urllib.parse import urlencode

from payi_middleware.service.store.names import Kind

from .periods import Period, PeriodError, period_of

__all__ = ["Dimension", "FilterError", "Filters", "Status", "filters_of"]


class Dimension(StrEnum):
    """What requests are grouped and filtered by: the name of a query parameter."""

    USER = "user"
    ACCOUNT = "account"
    USE_CASE = "use_case"
    STEP = "step"
    CATEGORY = "category"
    RESOURCE = "resource"
    INSTANCE = "instance"
    LIMIT = "limit"


class Status(StrEnum):
    """What became of a request."""

    OK = "ok"
    FAILED = "failed"
    BLOCKED = "blocked"


KINDS = {
    Dimension.USER: Kind.USER,
    Dimension.ACCOUNT: Kind.ACCOUNT,
    Dimension.USE_CASE: Kind.USE_CASE,
    Dimension.STEP: Kind.STEP,
    Dimension.INSTANCE: Kind.INSTANCE,
    Dimension.LIMIT: Kind.LIMIT,
}
"""The kind of name that a value is; categories and resources are two halves of one."""

_CAN_LACK = frozenset({Dimension.USER, Dimension.ACCOUNT, Dimension.USE_CASE, Dimension.STEP, Dimension.RESOURCE})
_STATUS, _NONE = "status", "no"
_LONGEST = 4_096


class FilterError(ValueError):
    """A URL asks for something that cannot be filtered by; the message says what, and is fit for a page."""


@dataclass(frozen=True, slots=True)
class Filters:
    """What a page is about.

    Args:
        values: the name that requests have to have in each dimension; None where they have to have none.
        status: what has to have become of them.
    """

    period: Period
    values: Mapping[Dimension, str | None] = field(default_factory=dict)
    status: Status | None = None

    def query(self, **more: str | int | None) -> str:
        """Return the query string that asks for this, with its question mark, and with other parameters."""
        pairs = [*self.period.query.items()]
        pairs += [(str(name), value) for name, value in self.values.items() if value is not None]
        pairs += [(_NONE, str(name)) for name, value in self.values.items() if value is None]
        if self.status is not None:
            pairs.append((_STATUS, str(self.status)))
        pairs += [(name, str(value)) for name, value in more.items() if value is not None]
        return f"?{urlencode(pairs)}" if pairs else ""

    def having(self, values: Mapping[Dimension, str | None]) -> Self:
        """Return the same with these names to filter by, too."""
        return replace(self, values={**self.values, **values})

    def without(self, *names: str) -> Self:
        """Return the same without filtering by these: dimensions, or `status`."""
        kept = {name: value for name, value in self.values.items() if name not in names}
        return replace(self, values=kept, status=None if _STATUS in names else self.status)

    def during(self, period: Period) -> Self:
        """Return the same for another period."""
        return replace(self, period=period)

    def with_status(self, status: Status | None) -> Self:
        """Return the same for requests of which that became."""
        return replace(self, status=status)

    @property
    def narrows(self) -> bool:
        """Whether anything but the period is asked for."""
        return bool(self.values) or self.status is not None


def filters_of(pairs: Iterable[tuple[str, str]], now: datetime) -> Filters:
    """Read the filters of a URL; parameters that are none are left alone.

    Args:
        pairs: the query parameters. `user=alice` asks for Alice's requests, `no=user` for those of nobody.

    Raises:
        FilterError: one of them cannot be.
    """
    told = [(name, value) for name, value in pairs if value]
    single = dict(told)
    try:
        period = period_of(single, now)
    except PeriodError as error:
        raise FilterError(str(error)) from error
    values: dict[Dimension, str | None] = {name: single[name] for name in Dimension if name in single}
    for name in (value for key, value in told if key == _NONE):
        if name not in _CAN_LACK:
            raise FilterError(f"no is one of {', '.join(sorted(_CAN_LACK))}")
        values[Dimension(name)] = None
    if any(value and len(value) > _LONGEST for value in values.values()):
        raise FilterError("a name to filter by is too long")
    return Filters(period, values, _status(single.get(_STATUS)))


def _status(text: str | None) -> Status | None:
    if text is None:
        return None
    try:
        return Status(text)
    except ValueError as error:
        raise FilterError(f"status is one of {', '.join(Status)}") from error
