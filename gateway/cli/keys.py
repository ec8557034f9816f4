"""``raygate keys``: who may ask."""

import asyncio
import json
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import typer
from rich.console import Console
from rich.table import Table

from gateway.cli.options import DEFAULT_HOME, MISTAKE, AsJson, Home, fail

if TYPE_CHECKING:
    from auth.keys import Key
    from auth.store import Store

keys = typer.Typer(help="Make, list and revoke API keys.", no_args_is_help=True)

Name = Annotated[str, typer.Argument(metavar="NAME", help="What to call the key; unique among the keys in use.")]
IdOrName = Annotated[str, typer.Argument(metavar="ID", help="The key's id, or its name.")]
DatabaseFrom = Annotated[
    Path | None,
    typer.Option("--config", help="The file whose database_url to use.", show_default="SQLite in the home folder"),
]

_T = TypeVar("_T")


@keys.command()
def create(name: Name, config: DatabaseFrom = None, home: Home = DEFAULT_HOME, as_json: AsJson = False) -> None:
    """Make a key, and show its secret this once.

    Example: raygate keys create alice
    """
    from auth.keys import create_key

    key, secret = _in_store(config, home, lambda store: create_key(store, name=name))
    typer.echo(json.dumps({**_fields(key), "secret": secret}, indent=2) if as_json else secret)


@keys.command("list")
def list_(config: DatabaseFrom = None, home: Home = DEFAULT_HOME, as_json: AsJson = False) -> None:
    """List all keys, revoked ones too, without their secrets.

    Example: raygate keys list --json
    """
    from auth.keys import list_keys

    found = [_fields(key) for key in _in_store(config, home, list_keys)]
    if as_json:
        typer.echo(json.dumps(found, indent=2))
        return
    table = Table(box=None, pad_edge=False)
    for column in ("id", "name", "hint", "created_at", "state"):
        table.add_column(column.upper())
    for key in found:
        table.add_row(key["id"], key["name"], f"{key['hint']}...", key["created_at"], key["state"])
    Console().print(table)


@keys.command()
def revoke(
    id_or_name: IdOrName, config: DatabaseFrom = None, home: Home = DEFAULT_HOME, as_json: AsJson = False
) -> None:
    """Stop a key for ever; running gateways learn of it within a second.

    Example: raygate keys revoke alice
    """
    from auth.keys import revoke_key

    key = _in_store(config, home, lambda store: revoke_key(store, id_or_name))
    typer.echo(json.dumps(_fields(key), indent=2) if as_json else f"revoked {key.name} ({key.id})")


def _in_store(config: Path | None, home: Path, work: "Callable[[Store], Awaitable[_T]]") -> _T:
    """Run some work on the open database, whose mistakes are the operator's."""
    from auth.errors import AuthError
    from gateway.config_file import ConfigError
    from gateway.preflight import OperatorMistake

    try:
        return asyncio.run(_work(config, home.expanduser(), work))
    except (AuthError, ConfigError, OperatorMistake) as error:
        fail(error, MISTAKE)


async def _work(config: Path | None, home: Path, work: "Callable[[Store], Awaitable[_T]]") -> _T:
    from gateway.config_check import load
    from gateway.database import open_store

    async with open_store(load(config).database_url if config else None, home) as store:
        return await work(store)


def _fields(key: "Key") -> dict[str, Any]:
    state = "revoked" if key.revoked_at else "disabled" if key.disabled else "active"
    created_at = datetime.fromtimestamp(key.created_at, UTC).isoformat(timespec="seconds")
    fields = {"id": key.id, "name": key.name, "project": key.project, "hint": key.hint}
    return {**fields, "scopes": key.scopes, "models": key.models, "created_at": created_at, "state": state}
