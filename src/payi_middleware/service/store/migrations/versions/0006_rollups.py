"""An index by which the dashboard finds what was summed of one name."""

from __future__ import annotations

from alembic import op

from payi_middleware.service.store.schema import rollups

revision = "0006"
down_revision = "0005"

_NEW = "payi_rollups_keys"


def upgrade() -> None:
    """Make it, unless revision 0002 was applied just now: it makes all that `schema` has."""
    for index in rollups.indexes:
        if index.name == _NEW:
            index.create(op.get_bind(), checkfirst=True)
