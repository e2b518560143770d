"""An index by which the newest instances of a use case are found: there may be as many of them as of requests."""

from __future__ import annotations

from alembic import op

from payi_middleware.service.store.schema import use_case_instances

revision = "0007"
down_revision = "0006"

_NEW = "payi_use_case_instances_created"


def upgrade() -> None:
    """Make it, unless revision 0002 was applied just now: it makes all that `schema` has."""
    for index in use_case_instances.indexes:
        if index.name == _NEW:
            index.create(op.get_bind(), checkfirst=True)
