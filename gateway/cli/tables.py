"""Records on the screen: as a table, as JSON, or as CSV."""

import csv
import json
import sys
from collections.abc import Iterable, Mapping, Sequence
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from gateway.cli.options import MISTAKE, fail

WIDTH = 200
"""Columns of a table that is not printed on a terminal."""

AsCsv = Annotated[bool, typer.Option("--csv", help="Print CSV.")]


def show(
    records: Sequence[Mapping[str, Any]], columns: Sequence[str], *, as_json: bool = False, as_csv: bool = False
) -> None:
    """Print records.

    Args:
        records: values by name.
        columns: the names that a table and CSV have, in order; JSON has all.
        as_json: print JSON.
        as_csv: print CSV.
    """
    if as_json and as_csv:
        fail("choose --json or --csv", MISTAKE)
    if as_json:
        typer.echo(json.dumps(records, indent=2))
    elif as_csv:
        writer = csv.writer(sys.stdout, lineterminator="\n")
        writer.writerow(columns)
        writer.writerows([text(record[column]) for column in columns] for record in records)
    else:
        console().print(_table(records, columns))


def console() -> Console:
    """Return standard output; in a pipe there is no width to fit, and a wrapped id cannot be copied or searched for."""
    return Console(width=None if sys.stdout.isatty() else WIDTH)


def text(value: Any) -> str:
    """Write a value in one line."""
    if isinstance(value, list | tuple):
        return " ".join(map(text, value))
    return "" if value is None else f"{value:.12g}" if isinstance(value, float) else str(value)


def _table(records: Iterable[Mapping[str, Any]], columns: Sequence[str]) -> Table:
    table = Table(box=None, pad_edge=False)
    for column in columns:
        table.add_column(column.upper().replace("_", " "), overflow="fold")
    for record in records:
        # Text, for a name in square brackets is no markup.
        table.add_row(*(Text(text(record[column])) for column in columns))
    return table
