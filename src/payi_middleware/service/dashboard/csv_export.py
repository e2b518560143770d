"""CSV files: RFC 4180, UTF-8, safe to be opened in a spreadsheet."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Iterator, Sequence
from decimal import Decimal
from typing import Any

from payi_middleware.service.store import clock

from .tables import Cell, Column, Name, Row

__all__ = ["lines", "safe"]

_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠")  # noqa: RUF001 - Excel takes these for the others
"""What makes a spreadsheet compute a cell: https://owasp.org/www-community/attacks/CSV_Injection"""
_BOM = "\N{ZERO WIDTH NO-BREAK SPACE}"
"""Without it, Excel takes the file for Windows-1252."""


def lines(columns: Sequence[Column], chunks: Iterable[Iterable[Row]]) -> Iterator[bytes]:
    """Yield a CSV file in pieces, as rows come."""
    out = io.StringIO(newline="")
    writer = csv.writer(out)
    out.write(_BOM)
    writer.writerow([column.name for column in columns])
    for rows in chunks:
        for row in rows:
            writer.writerow([_cell(column, row.get(column.name)) for column in columns])
        yield out.getvalue().encode("utf-8", "backslashreplace")
        out.seek(0)
        out.truncate()
    if rest := out.getvalue():
        yield rest.encode()


def _cell(column: Column, value: Any) -> str:
    if isinstance(value, Name):
        value = value.text
    if value is None:
        return ""
    if column.cell is Cell.TIME:
        return clock.as_text(value)
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, Decimal):
        return f"{value:f}"
    if isinstance(value, int | float):
        return str(value)
    return safe(str(value))


def safe(text: str) -> str:
    """Return a text that a spreadsheet shows as it is, and does not compute."""
    return f"'{text}" if text.startswith(_FORMULA) else text
