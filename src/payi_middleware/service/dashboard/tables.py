"""Tables, told once for pages and for CSV files."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from enum import StrEnum
from typing import Any

from .formatting import places_for

__all__ = ["Cell", "Column", "Name", "Row", "Table"]


class Cell(StrEnum):
    """What is in a column."""

    NAME = "name"
    TEXT = "text"
    CODE = "code"
    MONEY = "money"
    COUNT = "count"
    NUMBER = "number"
    SHARE = "share"
    CHANGE = "change"
    PERCENT = "percent"
    DURATION = "duration"
    TIME = "time"
    STATE = "state"


_NUMBERS = frozenset({Cell.MONEY, Cell.COUNT, Cell.NUMBER, Cell.SHARE, Cell.CHANGE, Cell.PERCENT, Cell.DURATION})


@dataclass(frozen=True, slots=True)
class Name:
    """Somebody's or something's name, and where more is told about it.

    Args:
        lacking: what is shown where there is none.
        short: what is shown of it; its ends, where it is long, if nothing is given.
    """

    text: str | None
    href: str | None = None
    lacking: str = "(none)"
    short: str | None = None


@dataclass(frozen=True, slots=True)
class Column:
    """A column.

    Args:
        name: the column's name in a CSV file, and in the rows.
        title: its heading on a page; a column without one is in the file only.
        order: what the table can be sorted by, by a link in its heading.
        heads: its cells are the headings of their rows.
    """

    name: str
    title: str
    cell: Cell = Cell.TEXT
    order: str | None = None
    heads: bool = False
    hint: str = ""

    @property
    def is_number(self) -> bool:
        """Whether it is set flush right."""
        return self.cell in _NUMBERS


Row = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Table:
    """A table on a page.

    Args:
        empty: what to do to have rows here.
        export: where the whole of it is to be had as CSV.
        orders: where a click on a heading leads, by what it sorts by.
        order: what it is sorted by now.
    """

    name: str
    caption: str
    columns: Sequence[Column]
    rows: Sequence[Row]
    empty: str = "Nothing in this period."
    export: str | None = None
    orders: Mapping[str, str] = field(default_factory=dict)
    order: str | None = None
    more: str | None = None
    less: str | None = None
    note: str = ""

    @property
    def shown(self) -> list[Column]:
        """The columns on the page."""
        return [column for column in self.columns if column.title]

    def places(self, column: Column) -> int:
        """Return how many decimals the amounts of a column have."""
        return places_for(amounts(self.rows, column.name))


def amounts(rows: Iterable[Row], name: str) -> list[Decimal]:
    """Return the amounts in a column, those that are there."""
    return [row[name] for row in rows if row.get(name) is not None]
