"""``raygate refusals``: who was not let in, and why."""

from dataclasses import asdict
from datetime import datetime
from typing import TYPE_CHECKING, Annotated

import typer

from gateway.cli.database import DatabaseFrom, in_store, iso, seconds
from gateway.cli.options import DEFAULT_HOME, AsJson, Home
from gateway.cli.tables import AsCsv, show

if TYPE_CHECKING:
    from auth.refusal_report import RefusalSum
    from auth.store import Store

COLUMNS = ("key", "project", "model", "status", "code", "refusals", "last")

Since = Annotated[
    datetime | None, typer.Option(help="From the minute of this time on, in UTC.", show_default="the month's start")
]
Until = Annotated[datetime | None, typer.Option(help="Up to before this time, in UTC.", show_default="now")]
OfKey = Annotated[str | None, typer.Option("--key", help="Only this key's: its id.", show_default="all")]
OfProject = Annotated[str | None, typer.Option("--project", help="Only this project's: its id.", show_default="all")]
Most = Annotated[int, typer.Option("--most", min=1, help="How many sums at most, the most frequent first.")]


def refusals(
    since: Since = None,
    until: Until = None,
    key: OfKey = None,
    project: OfProject = None,
    most: Most = 50,
    config: DatabaseFrom = None,
    home: Home = DEFAULT_HOME,
    as_json: AsJson = False,
    as_csv: AsCsv = False,
) -> None:
    """Sum the requests that were not let in, by key, model and reason.

    Example: raygate refusals --since 2030-01-01 --most 10
    """

    async def work(store: "Store") -> "list[RefusalSum]":
        from auth.refusal_report import refusals as report
        from auth.usage_report import this_month

        start, end = this_month(seconds(since), seconds(until))
        return await report(store, since=start, until=end, key=key, project=project, limit=most)

    sums = in_store(config, home, work)
    show([{**asdict(total), "last": iso(total.last)} for total in sums], COLUMNS, as_json=as_json, as_csv=as_csv)
