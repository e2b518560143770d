"""Revisions of applications' own prices, and what was used without a price."""

from __future__ import annotations

from alembic import op

from payi_middleware.service.store.schema import metadata, price_revisions, unpriced

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    """Make the tables, unless revision 0002 was applied just now: it makes all that `schema` has."""
    metadata.create_all(op.get_bind(), tables=[price_revisions, unpriced])
