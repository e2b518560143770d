"""PostgreSQL's pipeline mode: statements go together, and their answers are waited for once.

https://www.psycopg.org/psycopg3/docs/advanced/pipeline.html
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from typing import Any

from sqlalchemy import Connection
from sqlalchemy.exc import DBAPIError

__all__ = ["ask", "send", "translated"]


def send(connection: Connection, statements: Sequence[tuple[str, Sequence[Any]]]) -> None:
    """Execute statements that answer nothing, each once for all of its parameters, within the transaction at hand.

    Args:
        connection: to PostgreSQL.
        statements: and their parameters, as the driver takes them.
    """
    with translated(connection) as driver, _pipeline(connection, driver), driver.cursor() as cursor:
        for statement, parameters in statements:
            cursor.executemany(statement, parameters)


def ask(connection: Connection, statements: Sequence[tuple[str, Any]]) -> list[list[Sequence[Any]]]:
    """Execute statements, and return the rows that each of them answers.

    Args:
        connection: to PostgreSQL.
        statements: and their parameters, as the driver takes them.
    """
    with translated(connection) as driver:
        cursors = [driver.cursor() for _ in statements]
        with _pipeline(connection, driver):
            for cursor, (statement, parameters) in zip(cursors, statements, strict=True):
                cursor.execute(statement, parameters)
        return [cursor.fetchall() for cursor in cursors]


@contextmanager
def translated(connection: Connection) -> Iterator[Any]:
    """Give the driver's own connection, whose errors are raised as SQLAlchemy raises those of its statements."""
    driver: Any = connection.connection.driver_connection
    dbapi: Any = connection.dialect.loaded_dbapi
    try:
        yield driver
    except dbapi.Error as error:
        if lost := bool(driver.closed):
            connection.invalidate(error)
        raise DBAPIError.instance(
            None, None, error, dbapi.Error, hide_parameters=True, connection_invalidated=lost
        ) from error


def _pipeline(connection: Connection, driver: Any) -> Any:
    dbapi: Any = connection.dialect.loaded_dbapi
    return driver.pipeline() if dbapi.Pipeline.is_supported() else nullcontext()
