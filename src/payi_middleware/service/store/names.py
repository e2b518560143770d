"""Names as 64-bit keys, which group and index faster than texts of any length; the texts are kept once each.

A key is a digest of the text and its kind, so that every process knows it without asking the database. Two of a
million names have the same key with a probability of 3 in 100 million.
"""

from __future__ import annotations

from collections.abc import Iterable
from enum import IntEnum
from functools import lru_cache
from hashlib import blake2b

from sqlalchemy import Connection, select

from .schema import names
from .writing import Writes

_REMEMBERED = 100_000


class Kind(IntEnum):
    """What a name is of."""

    USER = 1
    ACCOUNT = 2
    USE_CASE = 3
    STEP = 4
    INSTANCE = 5
    RESOURCE = 6
    LIMIT = 7


NONE = 0
"""The key of no name."""


@lru_cache(maxsize=_REMEMBERED)
def key_of(kind: Kind, value: str | None) -> int:
    """Return the key of a name; `NONE` of no name."""
    if not value:
        return NONE
    digest = blake2b(value.encode("utf-8", "surrogatepass"), digest_size=8, person=bytes([kind])).digest()
    return int.from_bytes(digest, signed=True) or 1


def pair(first: str, second: str | None) -> str:
    """Return two texts as one name, such as a resource's category and its own name."""
    return f"{first}\n{second or ''}"


class Known:
    """The names that this process has seen in the database, so that it need not write them again."""

    def __init__(self) -> None:
        self._seen: set[tuple[int, Kind, str]] = set()

    def write(self, writes: Writes, application_id: int, used: Iterable[tuple[Kind, str]]) -> None:
        """Write the names that are new."""
        rows = [
            {"application_id": application_id, "kind": int(kind), "key": key_of(kind, value), "value": value}
            for kind, value in used
            if (application_id, kind, value) not in self._seen
        ]
        writes.insert_new(names, sorted(rows, key=lambda row: (row["kind"], row["key"])))

    def learn(self, application_id: int, written: Iterable[tuple[Kind, str]]) -> None:
        """Remember what is in the database for good, as its transaction is through."""
        if len(self._seen) > _REMEMBERED:
            self._seen.clear()
        self._seen.update((application_id, kind, value) for kind, value in written)


def texts(connection: Connection, application_id: int, kind: Kind, keys: Iterable[int]) -> dict[int, str]:
    """Return the texts of keys."""
    query = select(names.c.key, names.c.value).where(
        names.c.application_id == application_id, names.c.kind == int(kind), names.c.key.in_(list(keys))
    )
    return {row.key: row.value for row in connection.execute(query)}
