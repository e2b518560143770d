"""Pages of a list, in the order things were made in.

A page begins after a position, not after a number of items, so that nothing is skipped or told twice when others come
and go between two pages.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from operator import itemgetter
from typing import Any, Generic, NamedTuple, TypeVar

from sqlalchemy import ColumnElement, Connection, RowMapping, Select, tuple_

__all__ = ["Asked", "Page", "Position", "page", "page_among"]

_T = TypeVar("_T")

MOST = 1_000
"""Items of the largest page."""


class Position(NamedTuple):
    """Where an item is in a list: when it was made (microseconds since 1970), and its id among those of that time."""

    made: int
    own_id: str


class Asked(NamedTuple):
    """What page is asked for: at most `limit` items after a position, or from the beginning."""

    after: Position | None = None
    limit: int = MOST
    ascending: bool = True


@dataclass(frozen=True, slots=True)
class Page(Generic[_T]):
    """Some items, and the position of the last of them if there are more."""

    items: list[_T]
    last: Position | None


def page(
    connection: Connection, query: Select[Any], made: ColumnElement[int], own_id: ColumnElement[str], asked: Asked
) -> Page[RowMapping]:
    """Return a page of what a query finds.

    Args:
        query: without order or limit.
        made, own_id: the columns of an item's position, which the query selects.
    """
    if asked.after is not None:
        here, there = tuple_(made, own_id), tuple_(*asked.after)
        query = query.where(here > there if asked.ascending else here < there)
    order = (made, own_id) if asked.ascending else (made.desc(), own_id.desc())
    found = connection.execute(query.order_by(*order).limit(asked.limit + 1)).mappings().all()
    return _cut(found, itemgetter(made, own_id), asked.limit)


def page_among(items: Iterable[_T], position: Callable[[_T], Position], asked: Asked) -> Page[_T]:
    """Return a page of items that no query finds."""
    rest = sorted(items, key=position, reverse=not asked.ascending)
    if (after := asked.after) is not None:
        rest = [item for item in rest if (position(item) > after if asked.ascending else position(item) < after)]
    return _cut(rest, position, asked.limit)


def _cut(found: Iterable[_T], position: Callable[[_T], Any], limit: int) -> Page[_T]:
    items = list(found)
    more = len(items) > limit
    del items[limit:]
    return Page(items, Position(*position(items[-1])) if more else None)
