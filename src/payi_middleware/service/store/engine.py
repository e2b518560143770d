"""The database: opening it, and transactions that several threads and processes can share."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

from sqlalchemy import URL, Connection, Engine, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError, SQLAlchemyError

from payi_middleware.forks import rest_before_forks, uncut
from payi_middleware.service.errors import LedgerError

from . import postgresql, sqlite
from .migrating import migrate

__all__ = ["Store"]

_T = TypeVar("_T")
_ATTEMPTS = 20
"""How often a transaction is begun anew that another one stood in the way of; each time, that other one has ended."""


class Store:
    """One SQLite file in write-ahead mode (many readers beside one writer at a time), or a PostgreSQL database.

    Args:
        database: a file's path, or an SQLAlchemy URL: `sqlite:///payi.db`, `postgresql+psycopg://user@host/name`. A
            file, its directories and the tables are made where they are missing, and brought up to date.

    Raises:
        LedgerError: the database cannot be made, read or written, or a newer version of this package made it.
    """

    def __init__(self, database: str | Path) -> None:
        url = _url(database)
        self._kind = sqlite if url.get_backend_name() == "sqlite" else postgresql
        self.name = str(url.database) if self._kind is sqlite else url.render_as_string(hide_password=True)
        with self._translated():
            self._engine = self._kind.open_engine(url)
        self._renew()
        try:
            with uncut, self._translated():
                self._kind.prepare(self._engine)
            self.write(lambda connection: migrate(connection, self.name))
        except BaseException:
            self._dispose()
            raise
        rest_before_forks(self)

    @property
    def is_file(self) -> bool:
        """Whether one file holds everything, which takes one writer at a time."""
        return self._kind is sqlite

    def _renew(self) -> None:
        self._pid = os.getpid()
        self._closed = False
        # SQLite's own wait for the write lock is a poll, unfair to whoever comes last; threads queue up here instead.
        self._writing = self._kind.write_lock()
        self._writer = self._kind.for_writing(self._engine)
        self._reader = self._kind.for_reading(self._engine)
        self._snapshots = self._kind.for_snapshots(self._engine)

    def _own(self) -> None:
        """Leave the parent's connections and lock alone in a forked child: they must not cross a fork."""
        if self._closed:
            raise LedgerError(self.name, "is closed", "Open a new Ledger.")
        if self._pid != os.getpid():
            self._dispose(close=False)
            self._renew()

    def _dispose(self, *, close: bool = True) -> None:
        for engine in (self._engine, self._writer):
            engine.dispose(close=close)

    def read(self, function: Callable[[Connection], _T], *, snapshot: bool = False) -> _T:
        """Call a function with a connection for reading.

        Args:
            function: is called again where the connection turns out to be lost.
            snapshot: all of its statements see the same state.

        Raises:
            LedgerError: the database cannot be read.
        """
        self._own()
        with uncut, self._translated():
            return _call(self._snapshots if snapshot else self._reader, function)

    def write(self, function: Callable[[Connection], _T]) -> _T:
        """Call a function with a transaction that may write; it is undone when the function raises.

        Args:
            function: is called again where another process stood in the way, and must start anew then.

        Raises:
            LedgerError: the database does not let us.
        """
        self._own()
        for attempt in range(_ATTEMPTS):
            try:
                with self._writing, uncut:
                    return _call(self._writer, function)
            except _LostError as lost:
                raise self._translation(lost.error) from lost.error
            except DBAPIError as error:
                if attempt + 1 == _ATTEMPTS or not self._kind.is_transient(error):
                    raise self._translation(error, unsure=error.connection_invalidated) from error
            except SQLAlchemyError as error:
                raise self._translation(error) from error
        raise AssertionError

    def will_tidy(self) -> None:
        """Promise to call `tidy` every second or so."""
        self._own()
        # Whoever was about to take the writer's only connection would wait for it until the pool's time is over.
        with self._writing:
            self._kind.will_tidy(self._writer)

    def tidy(self) -> None:
        """Do now, on this thread, what somebody who writes would have to do later."""
        self._own()
        with uncut, self._translated():
            self._kind.tidy(self._engine, self._writing)

    def rest(self) -> None:
        """Close the connections before a fork: a child that finds a file open takes its locks for its own."""
        if self._pid == os.getpid() and self.is_file:
            self._dispose()

    def close(self) -> None:
        """Close the connections; the last process to do so leaves a single file."""
        self._closed = True
        # Without the write lock: who holds it may wait for another process, and an app that ends must not.
        with uncut:
            self._dispose(close=self._pid == os.getpid())

    @contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except _LostError as lost:
            raise self._translation(lost.error) from lost.error
        except SQLAlchemyError as error:
            raise self._translation(error) from error

    def _translation(self, error: SQLAlchemyError, *, unsure: bool = False) -> LedgerError:
        reason = str(getattr(error, "orig", None) or type(error).__name__).strip().partition("\n")[0]
        return LedgerError(self.name, reason, self._kind.fix(reason), unsure=unsure)


def _call(engine: Engine, function: Callable[[Connection], _T]) -> _T:
    """Call a function with a transaction, and once more if the connection is lost meanwhile.

    To ask the server beforehand whether it is still there would cost each transaction a wait. What was lost before the
    transaction's end was not committed; of its end itself nobody knows.
    """
    pool = engine.pool
    try:
        return _call_once(engine, function)
    except _LostError:
        if engine.pool is pool:  # the others are lost, too, if it was the server's end
            engine.dispose()
    return _call_once(engine, function)


def _call_once(engine: Engine, function: Callable[[Connection], _T]) -> _T:
    with engine.begin() as connection:
        try:
            return function(connection)
        except DBAPIError as error:
            if error.connection_invalidated:
                raise _LostError(error) from error
            raise


class _LostError(Exception):
    """The connection was lost before the end of its transaction, which therefore has changed nothing."""

    def __init__(self, error: DBAPIError) -> None:
        self.error = error


def _url(database: str | Path) -> URL:
    name = str(database)
    if "://" not in name:
        url = URL.create("sqlite", database=name)
    else:
        try:
            url = make_url(name)
        except ArgumentError as error:
            raise LedgerError("this", "is not a database URL", _URLS) from error
    if url.get_backend_name() == "sqlite":
        return sqlite.checked(url)
    if url.get_backend_name() == "postgresql":
        return postgresql.checked(url)
    raise LedgerError(url.render_as_string(), "is neither SQLite nor PostgreSQL", _URLS)


_URLS = "Name a file, sqlite:///file, or postgresql+psycopg://user@host/database."
