"""``raygate audit``: who changed what."""

from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any

import typer

from gateway.cli.database import DatabaseFrom, in_store, iso
from gateway.cli.options import DEFAULT_HOME, AsJson, Home
from gateway.cli.tables import AsCsv, show, text

if TYPE_CHECKING:
    from auth.audit import Action

COLUMNS = ("at", "actor", "action", "subject", "change")

Subject = Annotated[str | None, typer.Option(help="Only changes of this key or project: its id.", show_default="all")]
Actor = Annotated[str | None, typer.Option(help="Only changes by this key, or by cli.", show_default="all")]
Last = Annotated[int, typer.Option("--last", min=1, help="How many at most, the newest first.")]


def audit(
    subject: Subject = None,
    actor: Actor = None,
    last: Last = 50,
    config: DatabaseFrom = None,
    home: Home = DEFAULT_HOME,
    as_json: AsJson = False,
    as_csv: AsCsv = False,
) -> None:
    """List the changes to keys and projects, the newest first.

    Example: raygate audit --last 10
    """
    from auth.audit import list_actions

    actions = in_store(config, home, lambda store: list_actions(store, subject=subject, actor=actor, limit=last))
    show([_fields(action) for action in actions], COLUMNS, as_json=as_json, as_csv=as_csv)


def _fields(action: "Action") -> dict[str, Any]:
    return {**asdict(action), "at": iso(action.at), "change": _change(action)}


def _text(field: str, value: Any) -> str:
    from auth.limit_text import write_limit
    from auth.limits import Limit

    return text([write_limit(Limit(**limit)) for limit in value] if field == "limits" and value else value) or "-"


def _change(action: "Action") -> str:
    """Write what differs between before and after."""
    before, after = action.before or {}, action.after or {}
    if action.before is None:
        return f"name: {text(after.get('name'))}"
    differing = [name for name in after if after[name] != before.get(name) and name != "version"]
    return "; ".join(f"{name}: {_text(name, before.get(name))} -> {_text(name, after[name])}" for name in differing)
