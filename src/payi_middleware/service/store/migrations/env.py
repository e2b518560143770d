"""How Alembic runs our migrations: on the connection, and in the transaction, of whoever opens the database."""

from alembic import context

from payi_middleware.service.store.migrating import VERSION_TABLE
from payi_middleware.service.store.schema import metadata

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    version_table=VERSION_TABLE,
    version_table_pk=False,
    transactional_ddl=False,
    render_as_batch=True,
)
context.run_migrations()
