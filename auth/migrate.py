"""Brings a database's schema to the newest version, one process at a time."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path

from alembic import command
from alembic.config import Config
from filelock import AsyncFileLock
from sqlalchemy import Connection, text
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

_ADVISORY_LOCK = 0x72617967617465  # "raygate"
_LOCK_TIMEOUT_S = 120


async def migrate(engine: AsyncEngine) -> None:
    """Run the migrations that the database lacks, in one transaction."""
    async with _alone(engine) as connection:
        await connection.run_sync(_upgrade)


@asynccontextmanager
async def _alone(engine: AsyncEngine) -> AsyncGenerator[AsyncConnection]:
    """Yield a transaction that no other migrating process shares."""
    if engine.dialect.name == "sqlite":
        async with AsyncFileLock(f"{engine.url.database}.lock", timeout=_LOCK_TIMEOUT_S), engine.begin() as connection:
            yield connection
    else:
        async with engine.begin() as connection:
            await connection.execute(text("SELECT pg_advisory_xact_lock(:id)"), {"id": _ADVISORY_LOCK})
            yield connection


def _upgrade(connection: Connection) -> None:
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations"))
    config.attributes["connection"] = connection
    command.upgrade(config, "head")
