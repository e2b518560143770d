"""PostgreSQL's pipeline mode: statements that nobody reads an answer of go together, and are waited for once.

https://www.psycopg.org/psycopg3/docs/advanced/pipeline.html
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import nullcontext
from typing import Any

from sqlalchemy import Connection
from sqlalchemy.exc import DBAPIError

__all__ = ["send"]


def send(connection: Connection, statements: Sequence[tuple[str, Sequence[Any]]]) -> None:
    """Execute statements, each once for all of its parameters, within the transaction at hand.

    Args:
        connection: to PostgreSQL.
        statements: and their parameters, as the driver takes them.
    """
    driver: Any = connection.connection.driver_connection
    dbapi: Any = connection.dialect.loaded_dbapi
    try:
        with driver.pipeline() if dbapi.Pipeline.is_supported() else nullcontext(), driver.cursor() as cursor:
            for statement, parameters in statements:
                cursor.executemany(statement, parameters)
    except dbapi.Error as error:  # as SQLAlchemy tells of those that its own statements meet with
        raise DBAPIError.instance(None, None, error, dbapi.Error, hide_parameters=True) from error
