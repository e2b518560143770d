"""The database: opening it, and transactions that several threads and processes can share."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import URL, Connection, Engine, create_engine, event, insert, make_url, select
from sqlalchemy.exc import ArgumentError, OperationalError, SQLAlchemyError

from .errors import LedgerError
from .schema import SCHEMA_VERSION, metadata, schema_versions

BUSY_TIMEOUT = 30.0
"""Seconds a writer waits for writers in other processes."""

_BEGIN = "payi_begin"
_POOL = {"pool_size": 5, "max_overflow": 60, "pool_timeout": BUSY_TIMEOUT}


class Store:
    """One SQLite file in write-ahead mode: many readers beside one writer at a time.

    Args:
        database: a file's path, or an SQLAlchemy URL such as `sqlite:///payi.db`. The file, its directories and its
            tables are made where they are missing.

    Raises:
        LedgerError: the file cannot be made, read or written, or a newer version of this package made it.
    """

    def __init__(self, database: str | Path) -> None:
        url = _url(database)
        self._file = str(url.database)
        _make_directory(self._file)
        self._engine = _engine(url)
        self._renew()
        try:
            with self._translated():
                self._use_write_ahead_log()
            with self.write() as connection:
                self._check_schema(connection)
        except LedgerError:
            self._engine.dispose()
            raise

    def _renew(self) -> None:
        self._pid = os.getpid()
        self._closed = False
        # SQLite's own wait for the write lock is a poll, unfair to whoever comes last; threads queue up here instead.
        self._writing = threading.Lock()
        self._writer = self._engine.execution_options(**{_BEGIN: "BEGIN IMMEDIATE"})

    def _own(self) -> None:
        """Leave the parent's connections and lock alone in a forked child: SQLite files must not cross a fork."""
        if self._closed:
            raise LedgerError(self._file, "is closed", "Open a new Ledger.")
        if self._pid != os.getpid():
            self._engine.dispose(close=False)
            self._renew()

    @contextmanager
    def read(self) -> Iterator[Connection]:
        """Open a transaction that sees one state of the ledger."""
        self._own()
        with self._translated(), self._engine.begin() as connection:
            yield connection

    @contextmanager
    def write(self) -> Iterator[Connection]:
        """Open the one transaction that may write; it is undone when its block raises."""
        self._own()
        with self._writing, self._translated(), self._writer.begin() as connection:
            yield connection

    def close(self) -> None:
        """Close the connections; the last process to do so leaves a single file."""
        self._closed = True
        self._engine.dispose(close=self._pid == os.getpid())

    @contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except SQLAlchemyError as exc:
            reason = str(getattr(exc, "orig", None) or type(exc).__name__)
            raise LedgerError(self._file, reason, _fix(reason)) from exc

    def _use_write_ahead_log(self) -> None:
        deadline = time.monotonic() + BUSY_TIMEOUT
        while True:
            try:
                with self._engine.connect() as connection:
                    _pragma(connection.connection.dbapi_connection, "journal_mode=WAL")
                return
            except OperationalError as exc:
                # Two processes that open a new file at once: SQLite refuses one of them here without waiting.
                if "locked" not in str(exc.orig) or time.monotonic() > deadline:
                    raise
                time.sleep(0.01)

    def _check_schema(self, connection: Connection) -> None:
        metadata.create_all(connection)
        version = connection.scalar(select(schema_versions.c.version))
        if version is None:
            connection.execute(insert(schema_versions).values(version=SCHEMA_VERSION))
        elif version > SCHEMA_VERSION:
            problem = f"was made by a newer version (schema {version}, this version knows {SCHEMA_VERSION})"
            raise LedgerError(self._file, problem, "Upgrade payi-middleware, or name another file.")


def _url(database: str | Path) -> URL:
    name = str(database)
    if "://" not in name:
        url = URL.create("sqlite", database=name)
    else:
        try:
            url = make_url(name)
        except ArgumentError as exc:
            raise LedgerError(name, "is not a database URL", "Name a file, or sqlite:///file.") from exc
    if url.get_backend_name() != "sqlite":
        raise LedgerError(url.render_as_string(), "is not an SQLite file", "Name a file, or sqlite:///file.")
    if url.database in (None, "", ":memory:"):
        raise LedgerError(name, "is not a file", "Name a file: a ledger is shared by threads and processes.")
    return url


def _make_directory(file: str) -> None:
    try:
        Path(file).parent.mkdir(parents=True, exist_ok=True)
    except OSError as exc:
        raise LedgerError(file, f"its directory cannot be made ({exc.strerror})", _fix("")) from exc


def _engine(url: URL) -> Engine:
    engine = create_engine(url, hide_parameters=True, connect_args={"timeout": BUSY_TIMEOUT}, **_POOL)
    event.listen(engine, "connect", _prepare)
    event.listen(engine, "begin", _begin)
    return engine


def _prepare(connection: Any, _record: object) -> None:
    connection.isolation_level = None  # BEGIN is ours: the driver's own would take the write lock too late
    _pragma(connection, "synchronous=NORMAL")
    _pragma(connection, "foreign_keys=ON")


def _begin(connection: Connection) -> None:
    connection.exec_driver_sql(connection.get_execution_options().get(_BEGIN, "BEGIN"))


def _pragma(connection: Any, setting: str) -> None:
    cursor = connection.cursor()
    try:
        cursor.execute(f"PRAGMA {setting}")
    finally:
        cursor.close()


def _fix(reason: str) -> str:
    if "locked" in reason:
        return "Another process holds it: end that one, or give each its own file."
    if "not a database" in reason:
        return "The file holds something else: name another one (PAYI_LEDGER)."
    return "Make it writable, or name another file (PAYI_LEDGER)."
