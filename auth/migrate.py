"""Brings a database's schema to the newest version, one process at a time."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from filelock import AsyncFileLock
from sqlalchemy import Connection, text
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

_ADVISORY_LOCK = 0x72617967617465  # "raygate"
_LOCK_TIMEOUT_S = 120


async def migrate(engine: AsyncEngine) -> None:
    """Run the migrations that the database lacks, in one transaction."""
    async with _alone(engine) as connection:
        await connection.run_sync(_upgrade)


async def schema_versions(engine: AsyncEngine) -> tuple[str | None, str | None]:
    """Return the version that the database has, and the newest."""
    async with engine.connect() as connection:
        current = await connection.run_sync(lambda sync: MigrationContext.configure(sync).get_current_revision())
    return current, ScriptDirectory.from_config(_config()).get_current_head()


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
    config = _config()
    config.attributes["connection"] = connection
    command.upgrade(config, "head")


def _config() -> Config:
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations"))
    return config
