"""The key store, opened by commands that run outside the cluster."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path

from sqlalchemy.exc import SQLAlchemyError

from auth.store import Store, sqlite_url
from gateway.cluster.preflight import OperatorMistake


@asynccontextmanager
async def open_store(database_url: str | None, home: Path, *, migrate: bool = True) -> AsyncGenerator[Store]:
    """Yield the store.

    Args:
        database_url: ``None`` means SQLite in ``home``.
        home: Raygate's folder.
        migrate: bring the schema up to date first.

    Raises:
        UnsupportedDatabase: for a URL that we do not speak.
        OperatorMistake: when the database does not answer, or not as it should.
    """
    try:
        store = Store(database_url or sqlite_url(home))
        if migrate:
            await store.migrate()
    except (ImportError, OSError, SQLAlchemyError) as error:
        raise OperatorMistake(f"the database cannot be used: {str(error).splitlines()[0]}") from None
    try:
        yield store
    finally:
        await store.close()
