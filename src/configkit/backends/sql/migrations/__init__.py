"""Alembic's environment for the tables; `configkit.backends.sql.migrate` runs it."""
