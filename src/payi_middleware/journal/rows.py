"""What is stored of a report, and of one that was refused."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass, field
from time import time
from typing import NamedTuple

__all__ = ["COLUMNS", "DEAD_COLUMNS", "Counts", "DamagedError", "DeadLetter", "Row", "letter_of", "row_of"]

COLUMNS = "item, module, content, recorded, attempts"
DEAD_COLUMNS = f"{COLUMNS}, refused, status, code, message"


class DamagedError(sqlite3.DatabaseError):
    """A file holds what was never stored in it, although SQLite can read it."""


@dataclass(frozen=True, slots=True)
class Row:
    """One report.

    Args:
        item: an item of `POST /api/v1/ingest/bulk`, as JSON.
        module: the SDK that made the call.
        content: whether it holds a prompt and an answer.
        recorded: when the call ended, seconds since 1970.
        attempts: deliveries that failed with the service's own fault (5xx), so that it may be this report's.
        id: 0 while it is in no file.
    """

    item: bytes
    module: str | None = None
    content: bool = False
    recorded: float = field(default_factory=time)
    attempts: int = 0
    id: int = 0

    @property
    def values(self) -> tuple[bytes, str | None, bool, float, int]:
        """What is stored of it."""
        module = None if self.module is None else _storable(self.module)
        return self.item, module, self.content, self.recorded, self.attempts


class DeadLetter(NamedTuple):
    """One report that the service refused for good, when, and the service's HTTP status, code and message."""

    row: Row
    refused: float
    status: int
    code: str
    message: str

    @property
    def values(self) -> tuple[object, ...]:
        """What is stored of it."""
        return (*self.row.values, self.refused, self.status, _storable(self.code), _storable(self.message))


class Counts(NamedTuple):
    """What is in a file; `oldest` is when the oldest pending report was recorded, seconds since 1970."""

    pending: int = 0
    dead: int = 0
    oldest: float | None = None


def row_of(values: Sequence[object]) -> Row:
    """Return a report from its `COLUMNS` and its id.

    Raises:
        DamagedError: they are no report's.
    """
    item, module, content, recorded, attempts, id_ = values
    if (
        isinstance(item, bytes)
        and isinstance(module, str | None)
        and isinstance(content, int)
        and isinstance(recorded, float)
        and isinstance(attempts, int)
        and isinstance(id_, int)
    ):
        return Row(item, module, bool(content), recorded, attempts, id_)
    raise DamagedError("a report is damaged")


def letter_of(values: Sequence[object]) -> DeadLetter:
    """Return a dead letter from its `DEAD_COLUMNS` and its id.

    Raises:
        DamagedError: they are no dead letter's.
    """
    refused, status, code, message = values[5:9]
    row = row_of((*values[:5], values[9]))
    if isinstance(refused, float) and isinstance(status, int) and isinstance(code, str) and isinstance(message, str):
        return DeadLetter(row, refused, status, code, message)
    raise DamagedError("a dead letter is damaged")


def _storable(text: str) -> str:
    """Half a surrogate pair, which a service's JSON may escape, has no UTF-8 form, and SQLite takes nothing else."""
    return text.encode("utf-8", "backslashreplace").decode()
