"""Applications: whose books they are. What belongs to one is not seen by another."""

from __future__ import annotations

from sqlalchemy import Connection, insert, select

from payi_middleware.service.store import clock
from payi_middleware.service.store.schema import applications

DEFAULT = "default"
"""The application that the embedded ledger books for."""


def find(connection: Connection, name: str) -> int | None:
    """Return an application's id."""
    return connection.scalar(select(applications.c.application_id).where(applications.c.name == name))


def find_or_make(connection: Connection, name: str) -> int:
    """Return an application's id; it is made if it is not there."""
    if (found := find(connection, name)) is not None:
        return found
    made = insert(applications).values(name=name, created_timestamp=clock.micros(clock.now()))
    return int(connection.execute(made.returning(applications.c.application_id)).scalar_one())
