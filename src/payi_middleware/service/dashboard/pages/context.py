"""What every page knows: where it is, what it is about, and when it was made."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, TypeVar
from urllib.parse import parse_qsl, quote, urlencode

from payi_middleware.service.dashboard.filters import Dimension, Filters
from payi_middleware.service.dashboard.periods import DEFAULT
from payi_middleware.service.dashboard.queries.view import View
from payi_middleware.service.dashboard.tables import Column, Row

__all__ = ["LACKING", "TITLES", "Export", "Later", "NotThereError", "Page", "Read", "takes_long"]

_T = TypeVar("_T")
Read = Callable[[Callable[[View], _T]], _T]
"""Calls a function with a view of the books."""

TITLES: dict[Dimension, tuple[str, str]] = {
    Dimension.USER: ("User", "Users"),
    Dimension.ACCOUNT: ("Account", "Accounts"),
    Dimension.USE_CASE: ("Use case", "Use cases"),
    Dimension.STEP: ("Step", "Steps"),
    Dimension.RESOURCE: ("Model", "Models"),
    Dimension.CATEGORY: ("Category", "Categories"),
    Dimension.INSTANCE: ("Instance", "Instances"),
    Dimension.LIMIT: ("Limit", "Limits"),
}
LACKING: dict[Dimension, str] = {
    Dimension.USER: "(no user)",
    Dimension.ACCOUNT: "(no account)",
    Dimension.USE_CASE: "(no use case)",
    Dimension.STEP: "(no step)",
    Dimension.RESOURCE: "(no model named)",
}


class NotThereError(LookupError):
    """There is no such page; the message says what is missing, and is fit for a page."""


@dataclass(frozen=True, slots=True)
class Page:
    """A request for a page.

    Args:
        root: what stands before every path, where the service is mounted somewhere.
        parameters: the query's other parameters.
    """

    root: str
    filters: Filters
    now: datetime
    parameters: Mapping[str, str] = field(default_factory=dict)

    def url(self, path: str, filters: Filters | None = None, **more: str | int | None) -> str:
        """Return the address of a page about the same, or about what other filters say."""
        return f"{self.root}{path}{(filters or self.filters).query(**more)}"

    def preset(self, path: str, name: str) -> str:
        """Return the address of a page about the same requests of one of the usual periods."""
        kept = {key: value for key, value in self._pairs() if key not in ("period", "from", "to")}
        nobody = [("no", value) for key, value in self._pairs() if key == "no"]
        kept.pop("no", None)
        told = [*([] if name == DEFAULT else [("period", name)]), *kept.items(), *nobody]
        return f"{self.root}{path}{f'?{urlencode(told)}' if told else ''}"

    def _pairs(self) -> list[tuple[str, str]]:
        return parse_qsl(self.filters.query().removeprefix("?"))

    def plain_url(self, *segments: str, **more: str) -> str:
        """Return the address of a page that takes no filters; segments are encoded."""
        path = "/".join(quote(segment, safe="") for segment in segments)
        return f"{self.root}/{path}{f'?{urlencode(more)}' if more else ''}"


@dataclass(frozen=True, slots=True)
class Export:
    """A table as a CSV file.

    Args:
        rows: yields rows as they are read, in pieces.
    """

    columns: Callable[[Page, Read[Any]], Sequence[Column]]
    rows: Callable[[Page, Read[Iterable[Row]]], Iterator[Iterable[Row]]]


@dataclass(frozen=True, slots=True)
class Later:
    """A table that takes a while: the page comes without it, and fetches it then."""

    title: str
    url: str


_MOST_HOURS = 62 * 24
"""There may be many users: what they have spent in longer periods than this takes a while to add up."""


def takes_long(page: Page, dimension: Dimension) -> bool:
    """Return whether a dimension may have so many names in a period that adding them up takes a while."""
    return dimension is Dimension.USER and page.filters.period.end - page.filters.period.begin > _MOST_HOURS
