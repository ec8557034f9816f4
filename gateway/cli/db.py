"""``raygate db``: the database itself."""

import csv
import json
import sys
from datetime import datetime
from typing import TYPE_CHECKING, Annotated

import typer

from gateway.cli.database import DatabaseFrom, in_store, seconds
from gateway.cli.options import DEFAULT_HOME, FAILURE, Home, fail

if TYPE_CHECKING:
    from auth.store import Store

db = typer.Typer(help="Upgrade, check and export the database.", no_args_is_help=True)

Since = Annotated[datetime | None, typer.Option(help="From this time on, in UTC.", show_default="the month's start")]
Until = Annotated[datetime | None, typer.Option(help="Up to before this time, in UTC.", show_default="now")]
AsLines = Annotated[bool, typer.Option("--json", help="Print a JSON object a line, and not CSV.")]


@db.command()
def upgrade(config: DatabaseFrom = None, home: Home = DEFAULT_HOME) -> None:
    """Bring the schema to the newest version, as every start of a gateway does; safe while gateways run.

    Example: raygate db upgrade --config raygate.yaml
    """

    async def work(store: "Store") -> "str | None":
        from auth.migrate import schema_versions

        return (await schema_versions(store.engine))[0]

    typer.echo(f"schema: {in_store(config, home, work)}, the newest")


@db.command()
def check(config: DatabaseFrom = None, home: Home = DEFAULT_HOME) -> None:
    """Say whether the schema is the newest, and whether the hourly sums agree with the ledger's rows.

    Example: raygate db check

    Exit codes: 0 when all is well, 1 when not.
    """

    async def work(store: "Store") -> "tuple[str | None, str | None, tuple[int, ...], tuple[int, ...]]":
        from auth.ledger_check import sums
        from auth.migrate import schema_versions

        current, newest = await schema_versions(store.engine)
        return (current, newest, *(await sums(store) if current == newest else ((), ())))

    current, newest, rows, hours = in_store(config, home, work, migrate=False)
    if current != newest:
        fail(f"schema: {current or 'none'}, the newest is {newest}: run 'raygate db upgrade'", FAILURE)
    typer.echo(f"schema: {current}, the newest")
    if rows != hours:
        fail(f"ledger: the rows sum to {rows}, the hours to {hours} (requests, prompt, cached, completion)", FAILURE)
    typer.echo(f"ledger: {rows[0]} requests, and the hourly sums agree with them")


@db.command()
def export(
    since: Since = None,
    until: Until = None,
    as_lines: AsLines = False,
    config: DatabaseFrom = None,
    home: Home = DEFAULT_HOME,
) -> None:
    """Print the ledger, a line a request.

    Example: raygate db export --since 2030-01-01 --until 2030-02-01 > january.csv
    """

    async def work(store: "Store") -> None:
        from auth.ledger_check import COLUMNS
        from auth.ledger_check import export as rows
        from auth.usage_report import this_month

        start, end = this_month(seconds(since), seconds(until))
        writer = csv.writer(sys.stdout, lineterminator="\n")
        if not as_lines:
            writer.writerow(COLUMNS)
        async for row in rows(store, since=start, until=end):
            if as_lines:
                typer.echo(json.dumps(dict(zip(COLUMNS, row, strict=True))))
            else:
                writer.writerow(row)

    in_store(config, home, work)
