"""A ledger in a PostgreSQL database, or one that speaks its protocol; needs the extra `postgres`."""

from __future__ import annotations

import importlib.util
from contextlib import AbstractContextManager, nullcontext, suppress
from typing import Any

from sqlalchemy import URL, Engine, create_engine, text
from sqlalchemy.exc import DBAPIError

from payi_middleware.service.errors import LedgerError

_POOL = {
    "pool_size": 5,
    "max_overflow": 20,
    "pool_timeout": 30.0,
    "pool_recycle": 1800,
    "pool_use_lifo": True,  # what the server has prepared on a connection is used again
}
_GROWN = text(r"""
    SELECT CAST(oid AS regclass) FROM pg_class
    WHERE relkind = 'r' AND relname LIKE 'payi\_%' AND relnamespace = to_regnamespace(current_schema())
    AND pg_relation_size(oid) / 8192 > 2 * greatest(relpages, 16) AND pg_has_role(relowner, 'USAGE')
""")
_CONNECT_TIMEOUT = 10
"""Seconds."""

# https://www.postgresql.org/docs/current/errcodes-appendix.html: serialization failure, deadlock, unique violation (the
# other transaction has booked the same response, or made the same instance, which the next attempt finds).
_TRANSIENT = frozenset({"40001", "40P01", "23505"})


def checked(url: URL) -> URL:
    """Return the URL with the driver we use.

    Raises:
        LedgerError: the driver is not installed.
    """
    if importlib.util.find_spec("psycopg") is None:
        name = url.render_as_string()
        raise LedgerError(name, "needs psycopg", "Run: pip install 'payi-middleware[postgres]'")
    return url.set(drivername="postgresql+psycopg")


def open_engine(url: URL) -> Engine:
    """Return the engine of a database."""
    arguments = {"connect_timeout": _CONNECT_TIMEOUT, "application_name": "payi-middleware"}
    return create_engine(url, hide_parameters=True, connect_args=arguments, **_POOL)


def prepare(engine: Engine) -> None:
    """Find out early whether the database is there."""
    with engine.connect():
        pass


def write_lock() -> AbstractContextManager[Any]:
    """Return nothing that anybody has to wait for: the database sees to that."""
    return nullcontext()


def for_writing(engine: Engine) -> Engine:
    """Return the engine whose transactions write."""
    return engine


def for_reading(engine: Engine) -> Engine:
    """Return the engine of those who only read: without a transaction, which would cost two more waits.

    Nor would one of the usual kind make what several statements see fit together.
    """
    return engine.execution_options(isolation_level="AUTOCOMMIT")


def for_snapshots(engine: Engine) -> Engine:
    """Return the engine of those who read what has to fit together, in a transaction that sees one state only."""
    return engine.execution_options(isolation_level="REPEATABLE READ", postgresql_readonly=True)


def will_tidy(_writer: Engine) -> None:
    """Do nothing: the server does it."""


def tidy(engine: Engine, _writing: AbstractContextManager[Any]) -> None:
    """Have the server look at tables that have grown twofold, as it does itself after a minute or more.

    Until then it takes an application for a small part of all, and reads all that one has for each look at a few rows:
    two minutes after its first request a busy service booked a fifth of what it had.
    """
    # What only speaks PostgreSQL's protocol may know nothing of this, and what is added up must not suffer from that.
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection, suppress(DBAPIError):
        for name in connection.scalars(_GROWN).all():
            connection.exec_driver_sql(f"ANALYZE {name}")


def is_transient(error: DBAPIError) -> bool:
    """Return whether another transaction stood in the way, so that the same one is worth another try."""
    return getattr(error.orig, "sqlstate", None) in _TRANSIENT


def fix(reason: str) -> str:
    """Return what to do about an error."""
    if "does not exist" in reason:
        return "Create the database or role, or correct the URL."
    if "authentication" in reason or "permission denied" in reason:
        return "Correct the user or password in the URL, or let the user create tables there."
    return "Make sure that PostgreSQL runs there and can be reached."
