"""Alembic's environment: run the scripts on the connection that `tiergate.store.schema` gives, in its transaction."""

from __future__ import annotations

from alembic import context

connection = context.config.attributes["connection"]
# Both kinds of database take changes of a schema back with the transaction.
context.configure(connection=connection, transactional_ddl=True, transaction_per_migration=False)
context.run_migrations()
