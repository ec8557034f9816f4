"""Insertions that meet a row that is there already; SQLite and PostgreSQL say it alike, in dialects of their own."""

from sqlalchemy import Insert
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.ext.asyncio import AsyncConnection

from auth.tables import Base


def insertion(connection: AsyncConnection, table: type[Base]) -> sqlite.Insert | postgresql.Insert:
    """Return an insertion that can be told what to do on conflict."""
    return sqlite.insert(table) if connection.dialect.name == "sqlite" else postgresql.insert(table)


def merged(connection: AsyncConnection, table: type[Base]) -> Insert:
    """Return an insertion that leaves a row alone that is there already."""
    return insertion(connection, table).on_conflict_do_nothing()
