"""Limits in the database that bound nothing, since no model or alias of a configuration has such a name."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from auth.keys import Key
    from auth.projects import Project
    from auth.store import Store
    from gateway.config.schema import Config

PAGE = 1000
"""Records that are read at a time."""


def idle_limits(config: "Config", home: Path) -> list[str]:
    """Return a sentence on each such limit of the keys and projects in use; none where there is no database yet.

    Args:
        config: whose names count, and whose database is looked into.
        home: the folder of the database, where the configuration names none.
    """
    from sqlalchemy.exc import SQLAlchemyError

    from auth.errors import AuthError
    from gateway.cluster.preflight import OperatorMistake

    try:
        if not _is_there(config.database_url, home):
            return []
        return asyncio.run(_idle_limits(config, home))
    except (AuthError, OperatorMistake, OSError, SQLAlchemyError) as error:
        return [f"The limits in the database were not looked at: {type(error).__name__}."]


def _is_there(database_url: str | None, home: Path) -> bool:
    """Say whether there is a database to look into; SQLite would make one."""
    from auth.store import SQLITE_FILE, Store

    if database_url is None:
        return (home / SQLITE_FILE).exists()
    store = Store(database_url)
    return not store.is_sqlite or Path(str(store.url.database)).exists()


async def _idle_limits(config: "Config", home: Path) -> list[str]:
    from auth.limit_text import warnings_of
    from gateway.cluster.database import open_store

    names = [entry.name for entry in config.entries]
    async with open_store(config.database_url, home, migrate=False) as store:
        return [
            f"{owner.name} ({owner.id}): {warning}"
            async for owner in _owners(store)
            for warning in warnings_of(owner.limits, names)
        ]


async def _owners(store: "Store") -> "AsyncIterator[Key | Project]":
    """Yield the projects and keys in use."""
    from auth.keys import list_keys
    from auth.projects import list_projects

    after = ""
    while projects := await list_projects(store, after=after, limit=PAGE):
        for project in projects:
            if project.archived_at is None:
                yield project
        after = projects[-1].id
    after = ""
    while keys := await list_keys(store, after=after, limit=PAGE):
        for key in keys:
            if key.revoked_at is None:
                yield key
        after = keys[-1].id
