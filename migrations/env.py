"""Alembic's entry: runs the migrations on the connection from `distillery.store.db.schema`."""

from alembic import context

from distillery.store.db.tables import Table

connection = context.config.attributes["connection"]
context.configure(
    connection=connection,
    target_metadata=Table.metadata,
    transactional_ddl=True,  # SQLite can, too, once we say BEGIN ourselves
    compare_type=True,
)
with context.begin_transaction():
    context.run_migrations()
