"""The database: an engine with short transactions, for SQLite or PostgreSQL.

Nothing here is on a request's way: keys are answered from a snapshot, limits from memory, the ledger is written
behind.
"""

import os
import sqlite3
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import URL, Connection, event, make_url
from sqlalchemy.exc import ArgumentError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine
from sqlalchemy.pool import ConnectionPoolEntry

from auth.errors import UnsupportedDatabase
from auth.migrate import migrate

SQLITE_FILE = "raygate.db"
"""The database in Raygate's folder, where no other is configured."""

_WRITE = "raygate_write"
_BUSY_TIMEOUT_MS = 10_000
_CONNECT_TIMEOUT_S = 5
_COMMAND_TIMEOUT_S = 60


class Store:
    """An open database.

    Args:
        database_url: ``sqlite:///path/to/file.db`` (see ``sqlite_url``) or ``postgresql://user@host/name``.

    Raises:
        UnsupportedDatabase: for any other URL, and for SQLite in memory, which replicas could not share.
    """

    def __init__(self, database_url: str) -> None:
        self.url = _driver_url(database_url)
        self.engine = _sqlite_engine(self.url) if self.is_sqlite else _postgres_engine(self.url)

    @property
    def is_sqlite(self) -> bool:
        """Whether this is SQLite, and not PostgreSQL."""
        return self.url.get_backend_name() == "sqlite"

    @asynccontextmanager
    async def reading(self) -> AsyncGenerator[AsyncConnection]:
        """Yield a connection for reads that see one state of the database."""
        async with self.engine.connect() as connection:
            if not self.is_sqlite:
                await connection.execution_options(isolation_level="REPEATABLE READ")
            yield connection

    @asynccontextmanager
    async def writing(self) -> AsyncGenerator[AsyncConnection]:
        """Yield a connection inside a transaction: committed at the end, rolled back on an exception."""
        async with self.engine.connect() as connection:
            await connection.execution_options(**{_WRITE: True})
            async with connection.begin():
                yield connection

    async def migrate(self) -> None:
        """Bring the schema to the newest version; harmless when it is there, safe from many processes at once."""
        await migrate(self.engine)

    async def close(self) -> None:
        """Close every connection."""
        await self.engine.dispose()


def sqlite_url(home: Path) -> str:
    """Return the URL of ``home``'s database, whose file is made readable by its owner alone."""
    home.mkdir(parents=True, exist_ok=True, mode=0o700)
    path = home.resolve() / SQLITE_FILE
    os.close(os.open(path, os.O_CREAT | os.O_RDWR, 0o600))
    path.chmod(0o600)
    return URL.create("sqlite+aiosqlite", database=str(path)).render_as_string()


def _driver_url(database_url: str) -> URL:
    try:
        url = make_url(database_url)
    except ArgumentError:
        raise UnsupportedDatabase("the database URL cannot be read; write sqlite:///FILE or postgresql://...") from None
    match url.get_backend_name():
        case "sqlite" if url.database not in (None, "", ":memory:"):
            return url.set(drivername="sqlite+aiosqlite")
        case "postgresql" | "postgres":
            return url.set(drivername="postgresql+asyncpg")
        case _:
            raise UnsupportedDatabase(f"{url.get_backend_name()!r}: the database is a SQLite file or PostgreSQL")


def _postgres_engine(url: URL) -> AsyncEngine:
    timeouts = {"timeout": _CONNECT_TIMEOUT_S, "command_timeout": _COMMAND_TIMEOUT_S}
    return create_async_engine(url, pool_pre_ping=True, hide_parameters=True, connect_args=timeouts)


class _Connection(sqlite3.Connection):
    """One that gives its locks up when it is closed.

    SQLite keeps a closed connection's transaction until the last of its statements is gone. A task that was cancelled
    in the middle of a write holds such a statement in its traceback, and nobody could write until that is collected.
    """

    def close(self) -> None:
        if self.in_transaction:
            self.rollback()
        super().close()


def _sqlite_engine(url: URL) -> AsyncEngine:
    engine = create_async_engine(url, hide_parameters=True, connect_args={"factory": _Connection})

    @event.listens_for(engine.sync_engine, "connect")
    def prepare(connection: Any, _: ConnectionPoolEntry) -> None:
        connection.isolation_level = None  # the driver opens no transactions of its own: ``begin`` does
        cursor = connection.cursor()
        cursor.execute(f"PRAGMA busy_timeout={_BUSY_TIMEOUT_MS}")
        cursor.execute("PRAGMA journal_mode=WAL")
        cursor.execute("PRAGMA synchronous=NORMAL")
        cursor.execute("PRAGMA foreign_keys=ON")
        cursor.close()

    @event.listens_for(engine.sync_engine, "begin")
    def begin(connection: Connection) -> None:
        # A writer takes its lock at once: upgrading a read lock later fails where waiting would do.
        write = connection.get_execution_options().get(_WRITE, False)
        connection.exec_driver_sql("BEGIN IMMEDIATE" if write else "BEGIN")

    return engine
