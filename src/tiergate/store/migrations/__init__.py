"""The store's migrations, for `tiergate.store.schema` to run with alembic.

One script in `versions` for each version of the schema, named by its number. A script that was released never changes,
and imports no tables: it says what the schema became then.
"""
