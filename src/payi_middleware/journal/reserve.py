"""Room on the disk that is set aside: SQLite needs some to take something out, too, and a full disk has none."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

__all__ = ["RESERVE", "Reserve"]

RESERVE = "-reserve"
"""What the file's name ends in, after that of the database."""
_BYTES = 1 << 20
_PRIVATE = 0o600


class Reserve:
    """A file of zeros beside a database.

    Args:
        database: the database's file.
    """

    def __init__(self, database: Path) -> None:
        self._path = database.with_name(database.name + RESERVE)

    def set_aside(self) -> None:
        """Take the room, if there is any and it is not taken yet."""
        if self._path.exists():
            return
        try:
            with open(self._path, "xb", opener=_private) as file:
                file.write(bytes(_BYTES))
        except OSError:
            self.use_up()

    def use_up(self) -> None:
        """Give the room back."""
        with suppress(OSError):
            self._path.unlink()


def _private(path: str, flags: int) -> int:
    return os.open(path, flags, _PRIVATE)
