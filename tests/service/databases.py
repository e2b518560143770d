"""The databases that a ledger may be in: a file, and a schema of its own in a PostgreSQL database."""

from __future__ import annotations

import os
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import psycopg
import pytest
from sqlalchemy import Connection

SERVER = "postgresql://postgres@127.0.0.1:5432/test"
"""Where tests find PostgreSQL."""
_HOW = "Run one: docker run -p 5432:5432 -e POSTGRES_HOST_AUTH_METHOD=trust -e POSTGRES_DB=test postgres:15"


@contextmanager
def postgresql_url() -> Iterator[str]:
    """Make a schema, and return the URL of a database in which nothing else is seen."""
    schema = f"payi_test_{uuid.uuid4().hex}"
    with _connected() as connection:
        connection.execute(f"CREATE SCHEMA {schema}")
    try:
        yield f"{SERVER}?options=-csearch_path%3D{schema}"
    finally:
        with _connected() as connection:
            connection.execute(f"DROP SCHEMA {schema} CASCADE")


def end_backend(connection: Connection) -> None:
    """Have PostgreSQL end one of a ledger's connections, as its administrator can."""
    driver: Any = connection.connection.driver_connection
    with _connected() as other:
        other.execute(f"SELECT pg_terminate_backend({driver.info.backend_pid}, 10000)")


@contextmanager
def _connected() -> Iterator[psycopg.Connection]:
    try:
        connection = psycopg.connect(SERVER, autocommit=True, connect_timeout=10)
    except psycopg.OperationalError as error:
        if os.environ.get("CI"):
            raise
        pytest.skip(f"no PostgreSQL at 127.0.0.1:5432 ({str(error).splitlines()[0]}). {_HOW}")
    with connection:
        yield connection
