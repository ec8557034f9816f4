"""``raygate usage``: what was used, by whom, of which model, when."""

from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Any

import typer

from gateway.cli.database import DatabaseFrom, in_store, iso, seconds
from gateway.cli.options import DEFAULT_HOME, AsJson, Home
from gateway.cli.tables import AsCsv, show

if TYPE_CHECKING:
    from auth.store import Store
    from auth.usage_report import UsageSum

SUMS = ("requests", "errors", "prompt_tokens", "cached_tokens", "completion_tokens", "cost")

By = Annotated[
    list[str] | None,
    typer.Option(
        "--by", help="key, project, model, day or hour; repeat it for several.", show_default="one sum of all"
    ),
]
Since = Annotated[
    datetime | None, typer.Option(help="From the hour of this time on, in UTC.", show_default="the month's start")
]
Until = Annotated[datetime | None, typer.Option(help="Up to before this time, in UTC.", show_default="now")]
OfKey = Annotated[str | None, typer.Option("--key", help="Only this key's: its id.", show_default="all")]
OfProject = Annotated[str | None, typer.Option("--project", help="Only this project's: its id.", show_default="all")]
OfModel = Annotated[str | None, typer.Option("--model", help="Only what this model answered.", show_default="all")]


def usage(
    by: By = None,
    since: Since = None,
    until: Until = None,
    key: OfKey = None,
    project: OfProject = None,
    model: OfModel = None,
    config: DatabaseFrom = None,
    home: Home = DEFAULT_HOME,
    as_json: AsJson = False,
    as_csv: AsCsv = False,
) -> None:
    """Sum requests, tokens and money.

    Example: raygate usage --by model --by day --since 2030-01-01 --until 2030-02-01 --csv
    """
    groups: Any = by or []
    filters = {"key": key, "project": project, "model": model}

    async def work(store: "Store") -> "list[UsageSum]":
        from auth.usage_report import MAX_PAGE, this_month
        from auth.usage_report import usage as report

        start, end = this_month(seconds(since), seconds(until))
        found, cursor = [], None
        while True:
            page = await report(
                store, since=start, until=end, group_by=groups, limit=MAX_PAGE, cursor=cursor, **filters
            )
            found += page.sums
            cursor = page.next_cursor
            if cursor is None:
                return found

    sums = in_store(config, home, work)
    show([_fields(total) for total in sums], (*groups, *SUMS), as_json=as_json, as_csv=as_csv)


def _fields(total: "UsageSum") -> dict[str, Any]:
    group = {name: iso(value) if isinstance(value, int) else value for name, value in total.group.items()}
    if "day" in group:
        group["day"] = str(group["day"]).partition("T")[0]
    return {**group, **{name: getattr(total, name) for name in SUMS}}
