"""What Alembic runs for every command: the connection and the transaction are the caller's. Not for Alembic's own
command line: `isthmusd.stores.migrating` opens the store."""

from __future__ import annotations

from alembic import context
from isthmusd.stores.tables import metadata

connection = context.config.attributes["connection"]
context.configure(
    connection=connection,
    target_metadata=metadata,
    # SQLite changes a table by making another one.
    render_as_batch=connection.dialect.name == "sqlite",
)
with context.begin_transaction():
    context.run_migrations()
