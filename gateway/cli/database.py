"""What the commands share that work on the database itself, whether or not a gateway runs."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypeVar

import typer

from gateway.cli.options import MISTAKE, fail

if TYPE_CHECKING:
    from auth.store import Store

DatabaseFrom = Annotated[
    Path | None,
    typer.Option("--config", help="The file whose database_url to use.", show_default="SQLite in the home folder"),
]
LimitTexts = Annotated[
    list[str] | None,
    typer.Option(
        "--limit",
        metavar="LIMIT",
        help="As requests/minute=60, tokens/day=1000000, concurrency=4 or money/month=10@gpt-*; repeat it for several.",
        show_default="none",
    ),
]

_T = TypeVar("_T")


def in_store(config: Path | None, home: Path, work: "Callable[[Store], Awaitable[_T]]", *, migrate: bool = True) -> _T:
    """Run some work on the open database, whose mistakes are the operator's.

    Args:
        config: names the database, if it is not SQLite in ``home``.
        home: Raygate's folder.
        work: what to do with the store.
        migrate: bring the schema up to date first.
    """
    from auth.errors import AuthError
    from gateway.cluster.preflight import OperatorMistake
    from gateway.config.file import ConfigError

    try:
        return asyncio.run(_work(config, home.expanduser(), work, migrate))
    except (AuthError, ConfigError, OperatorMistake) as error:
        fail(error, MISTAKE)


async def _work(config: Path | None, home: Path, work: "Callable[[Store], Awaitable[_T]]", migrate: bool) -> _T:
    from gateway.cluster.database import open_store
    from gateway.config.check import load

    async with open_store(load(config).database_url if config else None, home, migrate=migrate) as store:
        return await work(store)


def seconds(moment: datetime | None) -> float | None:
    """Return a time of the command line, which is UTC's, in seconds since the epoch."""
    return None if moment is None else moment.replace(tzinfo=moment.tzinfo or UTC).timestamp()


def iso(moment: float | None) -> str | None:
    """Write a time in seconds since the epoch as ISO 8601 in UTC."""
    return None if moment is None else f"{datetime.fromtimestamp(moment, UTC):%Y-%m-%dT%H:%M:%SZ}"
