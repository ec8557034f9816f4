"""Alembic's entry: runs on the connection that ``auth.migrate`` hands over."""

from alembic import context

from auth import ledger_tables  # noqa: F401  (its tables join the metadata)
from auth.tables import Base

context.configure(connection=context.config.attributes["connection"], target_metadata=Base.metadata)
context.run_migrations()
