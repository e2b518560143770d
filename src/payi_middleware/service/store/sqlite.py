"""A ledger in an SQLite file."""

from __future__ import annotations

import ctypes
import os
import sys
import threading
import time
from contextlib import AbstractContextManager, suppress
from pathlib import Path
from typing import Any

from sqlalchemy import URL, Engine, create_engine, event
from sqlalchemy.exc import DBAPIError, OperationalError

from payi_middleware.service.errors import LedgerError

BUSY_TIMEOUT = 30.0
"""Seconds a writer waits for writers in other processes."""

_POOL = {"pool_size": 5, "max_overflow": 60, "pool_timeout": BUSY_TIMEOUT, "pool_use_lifo": True}
_CACHE_KIB = 32_768
_LOG_PAGES, _LOG_BEGUN_ANEW = 65_536, 24_576
"""Pages of the log from which on whoever commits has to move them to the file although somebody calls `tidy` (256 MB),
and from which on `tidy` has the next writer begin at the log's start (96 MB), which keeps writers waiting for some
milliseconds. With 32 MB that came about each second at 350 requests a second, and made their 99th percentile."""


def checked(url: URL) -> URL:
    """Return the URL if it names a file.

    Raises:
        LedgerError: it does not.
    """
    if url.database in (None, "", ":memory:"):
        name = url.render_as_string()
        raise LedgerError(name, "is not a file", "Name a file: a ledger is shared by threads and processes.")
    return url


def open_engine(url: URL) -> Engine:
    """Return the engine of a file, whose directory is made if it is missing.

    Raises:
        LedgerError: the directory cannot be made.
    """
    file = str(url.database)
    try:
        Path(file).parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise LedgerError(file, f"its directory cannot be made ({error.strerror})", fix("")) from error
    return _engine(url, "BEGIN", **_POOL)


def _engine(url: URL, begin: str, **pool: Any) -> Engine:
    engine = create_engine(url, hide_parameters=True, connect_args={"timeout": BUSY_TIMEOUT}, **pool)
    event.listen(engine, "connect", _prepare)
    event.listen(engine, "begin", lambda connection: connection.exec_driver_sql(begin))
    return engine


def prepare(engine: Engine) -> None:
    """Have the file use a write-ahead log."""
    deadline = time.monotonic() + BUSY_TIMEOUT
    while True:
        try:
            with engine.connect() as connection:
                _pragma(connection.connection.dbapi_connection, "journal_mode=WAL")
            return
        except OperationalError as error:
            # Two processes that open a new file at once: SQLite refuses one of them here without waiting.
            if "locked" not in str(error.orig) or time.monotonic() > deadline:
                raise
            time.sleep(0.01)


def write_lock() -> AbstractContextManager[Any]:
    """Return what one thread at a time holds while it writes."""
    return threading.Lock()


def for_writing(engine: Engine) -> Engine:
    """Return the engine whose transactions write: they take the write lock when they begin.

    All are on one connection. Whatever pages another one keeps are of no use to it once somebody else has written.
    """
    return _engine(engine.url, "BEGIN IMMEDIATE", pool_size=1, max_overflow=0, pool_timeout=BUSY_TIMEOUT)


def for_reading(engine: Engine) -> Engine:
    """Return the engine of those who only read, each in a transaction: all of its statements see the same."""
    return engine


def for_snapshots(engine: Engine) -> Engine:
    """Return the engine of those who read what has to fit together: any transaction does."""
    return engine


def will_tidy(writer: Engine) -> None:
    """Have those who commit leave the log to `tidy`: else each larger transaction waits twice for the disk."""
    event.listen(writer, "connect", lambda connection, _record: _pragma(connection, f"wal_autocheckpoint={_LOG_PAGES}"))
    writer.dispose()


def tidy(engine: Engine, writing: AbstractContextManager[Any]) -> None:
    """Move what was written from the log to the file, which takes the disk so long that no writer should do it.

    Args:
        writing: what keeps the threads of this process from writing.
    """
    if _move(engine) > _LOG_BEGUN_ANEW:
        _move(engine)  # what was written meanwhile, so that what is left keeps nobody waiting for long
        _flush(Path(str(engine.url.database)).parent)
        with writing:  # once nothing is left, the log is begun anew
            _move(engine)


def _move(engine: Engine) -> int:
    """Return how many pages the log has."""
    with engine.connect() as connection:
        return int(connection.exec_driver_sql("PRAGMA wal_checkpoint(PASSIVE)").one()[1])


def _flush(directory: Path) -> None:
    """Have the disk take what the operating system keeps of this file system, which beginning the log anew waits for.

    Not by `fsync` of the file itself: to close another descriptor of it would let go of SQLite's locks, see
    https://www.sqlite.org/howtocorrupt.html. Where it does not work, those who write wait for longer.
    """
    if sys.platform == "linux":
        with suppress(OSError, AttributeError):
            descriptor = os.open(directory, os.O_RDONLY)
            try:
                ctypes.CDLL(None).syncfs(descriptor)
            finally:
                os.close(descriptor)


def is_transient(_error: DBAPIError) -> bool:
    """Return whether a transaction that failed is worth another try: nothing comes between those that write."""
    return False


def fix(reason: str) -> str:
    """Return what to do about an error."""
    if "locked" in reason:
        return "Another process holds it: end that one, or give each its own file."
    if "not a database" in reason:
        return "The file holds something else: name another one (PAYI_LEDGER)."
    return "Make it writable, or name another file (PAYI_LEDGER)."


def _prepare(connection: Any, _record: object) -> None:
    connection.isolation_level = None  # BEGIN is ours: the driver's own would take the write lock too late
    for setting in ("synchronous=NORMAL", "foreign_keys=ON", f"cache_size=-{_CACHE_KIB}", "temp_store=MEMORY"):
        _pragma(connection, setting)


def _pragma(connection: Any, setting: str) -> None:
    cursor = connection.cursor()
    try:
        cursor.execute(f"PRAGMA {setting}")
    finally:
        cursor.close()
