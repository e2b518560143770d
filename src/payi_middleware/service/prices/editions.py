"""Editions of the catalogue: which of them holds when.

An edition holds from the time it was fetched until the next one. The first that a database sees is that of the
installed genai-prices, and holds for all the time before. A newer genai-prices holds from when it is first used; so
the table has a row for each of these, too, without data.
"""

from __future__ import annotations

import gzip
from bisect import bisect_right
from collections.abc import Callable
from datetime import datetime
from functools import cache
from hashlib import sha256
from importlib import metadata
from typing import NamedTuple

from sqlalchemy import Connection, bindparam, insert, select

from payi_middleware.service.store import clock
from payi_middleware.service.store.schema import catalogues
from payi_middleware.service.store.writing import insert_new

from .catalogue import Catalogue, built_in, parse
from .resource import Resource

__all__ = ["Edition", "Editions", "add", "data_of", "note_built_in", "read"]

_PARSED_MOST = 4
"""Editions that are kept in memory, packed: some 1 MB each."""
_ALL = select(catalogues.c.catalogue_id, catalogues.c.effective_timestamp).order_by(
    catalogues.c.effective_timestamp, catalogues.c.catalogue_id
)
_DATA = select(catalogues.c.data).where(catalogues.c.catalogue_id == bindparam("named"))
_DIGEST = 32
_parsed: dict[str, Catalogue] = {}


class Edition(NamedTuple):
    """An edition: its id, and the time from which on it holds."""

    catalogue_id: str
    effective: datetime


class Editions:
    """The editions that a database knows.

    Args:
        editions: the oldest first.
        data_of: returns what was stored of an edition; nothing of one that is part of a version of genai-prices.
    """

    def __init__(self, editions: list[Edition], data_of: Callable[[str], bytes]) -> None:
        self.editions = editions
        self._starts = [edition.effective for edition in editions]
        self._data_of = data_of

    def find(self, category: str, resource: str, scope: str | None, at: datetime) -> Resource | None:
        """Return the version of a resource that was in force at a time.

        An edition that does not know it leaves that to the next newer one that does: a model is older than its first
        mention.
        """
        place = max(bisect_right(self._starts, at) - 1, 0)
        tried = False
        for edition in self.editions[place:]:
            if (catalogue := self._catalogue(edition.catalogue_id)) is None:
                continue
            tried |= catalogue is built_in()
            if (model := catalogue.find(category, resource, scope)) is not None:
                return model.at(at)
        model = None if tried else built_in().find(category, resource, scope)
        return None if model is None else model.at(at)

    def newest(self) -> Catalogue:
        """Return the edition in force now."""
        found = (self._catalogue(edition.catalogue_id) for edition in reversed(self.editions))
        return next((catalogue for catalogue in found if catalogue is not None), None) or built_in()

    def known(self) -> list[tuple[datetime, Catalogue]]:
        """Return the editions that can be read here, and from when on each holds."""
        found = [(edition.effective, self._catalogue(edition.catalogue_id)) for edition in self.editions]
        return [(effective, catalogue) for effective, catalogue in found if catalogue is not None] or [
            (clock.from_micros(0), built_in())
        ]

    def _catalogue(self, catalogue_id: str) -> Catalogue | None:
        if catalogue_id == _built_in_id():
            return built_in()
        if catalogue_id not in _parsed:
            data = self._data_of(catalogue_id)
            if not data:  # it came with another version of genai-prices
                return None
            if len(_parsed) >= _PARSED_MOST:
                _parsed.clear()
            _parsed[catalogue_id] = parse(gzip.decompress(data))
        return _parsed[catalogue_id]


@cache
def _built_in_id() -> str:
    return f"genai-prices {metadata.version('genai-prices')}"


def read(connection: Connection) -> list[Edition]:
    """Return the editions in a database, the oldest first."""
    return [Edition(row.catalogue_id, clock.from_micros(row.effective_timestamp)) for row in connection.execute(_ALL)]


def data_of(connection: Connection, catalogue_id: str) -> bytes:
    """Return what is stored of an edition."""
    return bytes(connection.scalar(_DATA, {"named": catalogue_id}) or b"")


def note_built_in(connection: Connection) -> None:
    """Note that the installed genai-prices' own edition is in use: from the beginning if it is the first one."""
    known = read(connection)
    if not any(edition.catalogue_id == _built_in_id() for edition in known):
        effective = clock.micros(clock.now()) if known else 0
        row = {"catalogue_id": _built_in_id(), "effective_timestamp": effective, "data": b""}
        insert_new(connection, catalogues, [row])


def add(connection: Connection, data: bytes, now: datetime) -> Edition | None:
    """Store an edition, which holds from now on; return None if it is the same as the newest one.

    Args:
        data: what `catalogue.parse` has read.
    """
    digest = sha256(data).hexdigest()[:_DIGEST]
    stored = read(connection)
    if stored and stored[-1].catalogue_id.endswith(digest):
        return None
    # After whatever is there, even where another machine's clock is ahead of this one's.
    start = max(now, *(edition.effective for edition in stored)) if stored else now
    edition = Edition(f"{start:%Y%m%dT%H%M%S%fZ}-{digest}", start)
    row = {"catalogue_id": edition.catalogue_id, "effective_timestamp": clock.micros(start)}
    connection.execute(insert(catalogues), {**row, "data": gzip.compress(data, mtime=0)})
    return edition
