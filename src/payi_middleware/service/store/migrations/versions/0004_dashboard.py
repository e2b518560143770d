"""Indices by which the dashboard finds requests that failed, that were blocked, and that no price was known for."""

from __future__ import annotations

from alembic import op

from payi_middleware.service.store.schema import requests

revision = "0004"
down_revision = "0003"

_NEW = ("payi_requests_failed", "payi_requests_blocked", "payi_requests_unpriced")


def upgrade() -> None:
    """Make them; that of failed requests was another one, and revision 0002 makes all that `schema` has."""
    for index in requests.indexes:
        if index.name in _NEW:
            index.drop(op.get_bind(), checkfirst=True)
            index.create(op.get_bind())
