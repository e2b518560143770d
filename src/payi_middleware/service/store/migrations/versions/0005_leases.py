"""What processes hold of limits."""

from __future__ import annotations

from alembic import op

from payi_middleware.service.store.schema import leases, metadata

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    """Make the table, unless revision 0002 was applied just now: it makes all that `schema` has."""
    metadata.create_all(op.get_bind(), tables=[leases])
