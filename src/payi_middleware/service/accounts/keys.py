"""Keys: who may use the service, and for which application. Only their digests are kept.

A key is long and random, so that a plain digest cannot be turned back; its id, in the key, finds the row.
"""

from __future__ import annotations

import hmac
import secrets
from hashlib import sha256
from typing import NamedTuple

from sqlalchemy import Connection, bindparam, insert, select, update

from payi_middleware.service.errors import invalid
from payi_middleware.service.store import clock
from payi_middleware.service.store.schema import applications as applications_table
from payi_middleware.service.store.schema import keys

from . import applications, checks

__all__ = ["Holder", "create", "every", "holder", "holder_of", "revoke", "verify"]

_PREFIX = "payi"
_LONGEST = 256
_NAME = 256


def create(connection: Connection, name: str, application: str | None = None) -> str:
    """Make a key, and the application that it is of if that is not there.

    Args:
        name: the key's, unique.
        application: the application's name; None takes the key's own, so that each key has an application of its own.

    Returns:
        The key: nobody can ask for it again.

    Raises:
        ServiceError: 400, the name is taken or no name.
    """
    for what, text in (("the key's name", name), ("the application's name", application or name)):
        if checks.text(what, text.strip(), maximum=_NAME) is None:
            raise invalid(f"{what} must not be empty")
    if connection.scalar(select(keys.c.key_id).where(keys.c.name == name)) is not None:
        raise invalid(f"a key named {name} exists; name another, or revoke that one first")
    key_id, secret = secrets.token_hex(6), secrets.token_urlsafe(32)
    made = {
        "key_id": key_id,
        "application_id": applications.find_or_make(connection, application or name),
        "name": name,
        "secret_hash": _digest(secret),
        "created_timestamp": clock.micros(clock.now()),
    }
    connection.execute(insert(keys), made)
    return f"{_PREFIX}_{key_id}_{secret}"


def verify(connection: Connection, key: str) -> int | None:
    """Return the id of the application that a key is of, or None if there is no such key."""
    prefix, _, rest = key[:_LONGEST].partition("_")
    key_id, _, secret = rest.partition("_")
    found = connection.execute(
        select(keys.c.application_id, keys.c.secret_hash).where(
            keys.c.key_id == key_id, keys.c.revoked_timestamp.is_(None)
        )
    ).one_or_none()
    known = bytes(32) if found is None else bytes(found.secret_hash)
    if not hmac.compare_digest(known, _digest(secret)) or prefix != _PREFIX or found is None:
        return None
    return int(found.application_id)


def _digest(secret: str) -> bytes:
    return sha256(secret.encode("utf-8", "surrogatepass")).digest()


def revoke(connection: Connection, name: str) -> bool:
    """Take a key away, whose name may be used again then; return whether there was one."""
    now = clock.micros(clock.now())
    own = keys.c.name == name, keys.c.revoked_timestamp.is_(None)
    found = connection.scalar(select(keys.c.key_id).where(*own))
    if found is None:
        return False
    gone = f"{name[: _NAME - 32]} (revoked {found})"
    connection.execute(update(keys).where(keys.c.key_id == found).values(revoked_timestamp=now, name=gone))
    return True


def every(connection: Connection) -> list[tuple[str, str, int]]:
    """Return the name, application and time of creation (microseconds since 1970) of each key, the oldest first."""
    query = (
        select(keys.c.name, applications_table.c.name.label("application"), keys.c.created_timestamp)
        .join(applications_table, applications_table.c.application_id == keys.c.application_id)
        .where(keys.c.revoked_timestamp.is_(None))
        .order_by(keys.c.created_timestamp)
    )
    return [(row.name, row.application, row.created_timestamp) for row in connection.execute(query)]


class Holder(NamedTuple):
    """A key that is in force, and the application that it is of.

    Args:
        secret_hash: the digest of the key's secret part, which tells nothing of it.
    """

    key_id: str
    application_id: int
    application: str
    secret_hash: bytes


_IN_FORCE = (
    select(keys.c.key_id, keys.c.application_id, applications_table.c.name, keys.c.secret_hash)
    .join(applications_table, applications_table.c.application_id == keys.c.application_id)
    .where(keys.c.key_id == bindparam("named"), keys.c.revoked_timestamp.is_(None))
)


def holder(connection: Connection, key_id: str) -> Holder | None:
    """Return a key by its id; None if there is none, or if it was revoked."""
    found = connection.execute(_IN_FORCE, {"named": key_id[:_LONGEST]}).one_or_none()
    return None if found is None else Holder(*found[:3], bytes(found[3]))


def holder_of(connection: Connection, key: str) -> Holder | None:
    """Return what a whole key is; None if it is wrong."""
    if verify(connection, key) is None:
        return None
    return holder(connection, key.split("_", 2)[1])
