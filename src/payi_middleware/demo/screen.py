"""What the demo prints: plain text, at most 100 columns."""

import re
import textwrap
from collections.abc import Iterable, Mapping, Sequence
from decimal import Decimal
from typing import Final

from payi_middleware.service.accounts.records import UserUsage

WIDTH: Final = 100
_INDENT: Final = "    "
_COLUMNS: Final = ("User", "Calls", "Failed", "Input tokens", "Output tokens", "Cost (USD)")
_WIDTHS: Final = (28, 7, 8, 14, 15, 16)


def shortened(text: str, width: int) -> str:
    """Return the text on one line of at most `width` characters."""
    line = " ".join(text.split())
    return line if len(line) <= width else f"{line[: width - 3]}..."


def facts(rows: Mapping[str, str]) -> str:
    """Lay out names and what they stand for, the latter wrapped in a column of its own."""
    column = max(len(name) for name in rows) + 2
    lines: list[str] = []
    for name, value in rows.items():
        room = WIDTH - len(_INDENT) - column
        # A list in a header is written without blanks: give a long one places to break at.
        breakable = value if len(value) <= room else re.sub(r",(?=\S)", ", ", value)
        wrapped = textwrap.wrap(breakable, room, break_on_hyphens=False) or [""]
        lines += [f"{_INDENT}{name:<{column}}{wrapped[0]}".rstrip()]
        lines += [f"{_INDENT}{'':<{column}}{line}" for line in wrapped[1:]]
    return "\n".join(lines)


def exchange(app: str, route: str, user: str, status: int, text: str) -> str:
    """Write one request and its response on a line."""
    line = f"{app:<8} {route:<14} {user:<6} {status}  "
    return line + shortened(text, WIDTH - len(line))


def money(amount: Decimal) -> str:
    """Write an amount of USD without exponent; the calls of a demo cost millionths."""
    return f"{amount:.8f}"


def _cells(row: UserUsage) -> Sequence[str]:
    counts = (row.calls, row.failed, row.input_tokens, row.output_tokens)
    return (
        shortened(row.user_id or "(unattributed)", _WIDTHS[0]),
        *(f"{count:,}" for count in counts),
        money(row.cost),
    )


def _line(cells: Iterable[str]) -> str:
    first, *others = cells
    widths = _WIDTHS[1:]
    return f"{_INDENT}{first:<{_WIDTHS[0]}}" + "".join(
        f"{cell:>{width}}" for cell, width in zip(others, widths, strict=True)
    )


def usage_table(rows: Sequence[UserUsage]) -> str:
    """Lay out calls, tokens and cost per user, and their total."""
    rule = _INDENT + "-" * sum(_WIDTHS)
    counts = [(row.calls, row.failed, row.input_tokens, row.output_tokens) for row in rows]
    sums = [f"{sum(column):,}" for column in zip(*counts, strict=True)] or ["0"] * 4
    total = ("total", *sums, money(sum((row.cost for row in rows), Decimal())))
    return "\n".join([_line(_COLUMNS), rule, *(_line(_cells(row)) for row in rows), rule, _line(total)])
