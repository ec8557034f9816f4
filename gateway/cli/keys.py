"""``raygate keys``: who may ask."""

import json
from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Any

import typer

from gateway.cli.database import DatabaseFrom, LimitTexts, in_store, iso, seconds
from gateway.cli.options import DEFAULT_HOME, AsJson, Home
from gateway.cli.tables import AsCsv, show

if TYPE_CHECKING:
    from auth.keys import Key
    from auth.store import Store

keys = typer.Typer(help="Make, list, change, rotate and revoke API keys.", no_args_is_help=True)

COLUMNS = ("id", "name", "project", "hint", "scopes", "models", "limits", "created_at", "expires_at", "state")

Name = Annotated[str, typer.Argument(metavar="NAME", help="What to call the key; unique among the keys in use.")]
IdOrName = Annotated[str, typer.Argument(metavar="ID", help="The key's id, or its name.")]
Project = Annotated[str | None, typer.Option(help="The id or name of its owner.", show_default="default")]
NewName = Annotated[str | None, typer.Option("--name", help="What to call it from now on.", show_default="as it is")]
Scopes = Annotated[
    list[str] | None,
    typer.Option(
        "--scope", help="inference, admin, read-usage, metrics; repeat it for several.", show_default="inference"
    ),
]
Models = Annotated[
    list[str] | None,
    typer.Option("--model", help="A glob over the models it may use; repeat it for several.", show_default="*"),
]
Expiry = Annotated[datetime | None, typer.Option("--expires", help="When it stops, in UTC.", show_default="never")]
Disabled = Annotated[
    bool | None, typer.Option("--disable/--enable", help="Stop it for a while.", show_default="as it is")
]
Overlap = Annotated[float, typer.Option("--overlap", help="Seconds for which the older secrets work on.")]


@keys.command()
def create(
    name: Name,
    project: Project = None,
    scope: Scopes = None,
    model: Models = None,
    limit: LimitTexts = None,
    expires: Expiry = None,
    config: DatabaseFrom = None,
    home: Home = DEFAULT_HOME,
    as_json: AsJson = False,
) -> None:
    """Make a key, and show its secret this once.

    Example: raygate keys create alice --project research --model 'smollm2*' --limit requests/minute=60
    """
    from auth.keys import INFERENCE, create_key
    from auth.limit_text import read_limits

    key, secret = in_store(
        config,
        home,
        lambda store: create_key(
            store,
            name=name,
            project=project,
            scopes=scope or (INFERENCE,),
            models=model or ("*",),
            limits=read_limits(limit or ()),
            expires_at=seconds(expires),
        ),
    )
    typer.echo(json.dumps({**fields(key), "secret": secret}, indent=2) if as_json else secret)


@keys.command("list")
def list_(
    config: DatabaseFrom = None, home: Home = DEFAULT_HOME, as_json: AsJson = False, as_csv: AsCsv = False
) -> None:
    """List all keys, revoked ones too, without their secrets.

    Example: raygate keys list --csv > keys.csv
    """
    from auth.keys import list_keys

    found = [fields(key) for key in in_store(config, home, list_keys)]
    show(found, COLUMNS, as_json=as_json, as_csv=as_csv)


@keys.command("show")
def show_(
    id_or_name: IdOrName, config: DatabaseFrom = None, home: Home = DEFAULT_HOME, as_json: AsJson = False
) -> None:
    """Show one key, without its secret.

    Example: raygate keys show alice
    """
    from auth.keys import read_key

    _show_one(in_store(config, home, lambda store: read_key(store, id_or_name)), as_json)


@keys.command()
def update(
    id_or_name: IdOrName,
    name: NewName = None,
    scope: Scopes = None,
    model: Models = None,
    limit: LimitTexts = None,
    expires: Expiry = None,
    disabled: Disabled = None,
    config: DatabaseFrom = None,
    home: Home = DEFAULT_HOME,
    as_json: AsJson = False,
) -> None:
    """Change what is given of a key; running gateways learn of it within a second.

    Example: raygate keys update alice --model '*' --expires 2031-01-01
    """
    from auth.key_changes import update_key
    from auth.limit_text import read_limits

    given: dict[str, Any] = {
        "name": name,
        "scopes": scope,
        "models": model,
        "expires_at": seconds(expires),
        "disabled": disabled,
    }

    async def work(store: "Store") -> "Key":
        limits = None if limit is None else read_limits(limit)
        changes = {field: value for field, value in {**given, "limits": limits}.items() if value is not None}
        return await update_key(store, id_or_name, **changes)

    _show_one(in_store(config, home, work), as_json)


@keys.command()
def rotate(
    id_or_name: IdOrName,
    overlap: Overlap = 0,
    config: DatabaseFrom = None,
    home: Home = DEFAULT_HOME,
    as_json: AsJson = False,
) -> None:
    """Give a key a new secret, and show it this once.

    Example: raygate keys rotate alice --overlap 86400
    """
    from auth.key_changes import rotate_key

    key, secret = in_store(config, home, lambda store: rotate_key(store, id_or_name, overlap_s=overlap))
    typer.echo(json.dumps({**fields(key), "secret": secret}, indent=2) if as_json else secret)


@keys.command()
def revoke(
    id_or_name: IdOrName, config: DatabaseFrom = None, home: Home = DEFAULT_HOME, as_json: AsJson = False
) -> None:
    """Stop a key for ever; running gateways learn of it within a second.

    Example: raygate keys revoke alice
    """
    from auth.keys import revoke_key

    key = in_store(config, home, lambda store: revoke_key(store, id_or_name))
    typer.echo(json.dumps(fields(key), indent=2) if as_json else f"revoked {key.name} ({key.id})")


def fields(key: "Key") -> dict[str, Any]:
    """Return what is shown of a key."""
    from auth.limit_text import write_limit

    return {
        "id": key.id,
        "name": key.name,
        "project": key.project,
        "hint": key.hint,
        "scopes": key.scopes,
        "models": key.models,
        "limits": [write_limit(limit) for limit in key.limits],
        "created_at": iso(key.created_at),
        "expires_at": iso(key.expires_at),
        "state": "revoked" if key.revoked_at else "disabled" if key.disabled else "active",
        "version": key.version,
    }


def _show_one(key: "Key", as_json: bool) -> None:
    shown = fields(key)
    if as_json:
        typer.echo(json.dumps(shown, indent=2))
    else:
        show([{"field": field, "value": value} for field, value in shown.items()], ("field", "value"))
