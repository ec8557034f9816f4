"""``raygate status``: whether each model answers."""

import json
from dataclasses import asdict

import typer
from rich.console import Console
from rich.table import Table

from gateway.cli.http import Unreachable
from gateway.cli.options import DEFAULT_BASE_URL, DEFAULT_HOME, FAILURE, ApiKey, AsJson, BaseUrl, Home, fail
from gateway.cli.readyz import GatewayState, ask, is_here


def status(
    base_url: BaseUrl = DEFAULT_BASE_URL, api_key: ApiKey = "", home: Home = DEFAULT_HOME, as_json: AsJson = False
) -> None:
    """Show the state of each model, and why it is not ready.

    Example: raygate status --base-url http://gpu-box:8000

    The gateway tells of its models whoever shows a key, or may read the secrets of its home on the same machine.
    Exit codes: 0 when every model is ready, 1 when not.
    """
    try:
        state = ask(base_url, api_key=api_key, home=home.expanduser() if is_here(base_url) else None)
    except Unreachable as error:
        fail(error)
    if as_json:
        typer.echo(json.dumps(asdict(state), indent=2))
    else:
        Console().print(_table(state) if state.models else f"{state.status} (set RAYGATE_API_KEY to see each model)")
        if state.detail:
            typer.echo(f"{state.status}: {state.detail}")
    if state.status not in ("ready", "degraded"):
        raise typer.Exit(FAILURE)


def _table(state: GatewayState) -> Table:
    table = Table(box=None, pad_edge=False)
    for column in ("MODEL", "STATE", "DETAIL"):
        table.add_column(column, overflow="fold")
    for model in state.models:
        table.add_row(model.name, model.state, model.detail)
    return table
