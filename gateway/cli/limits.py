"""``raygate limits``: how much a key or a project may use."""

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from gateway.cli.database import DatabaseFrom, LimitTexts, in_store
from gateway.cli.options import DEFAULT_HOME, MISTAKE, AsJson, Home, fail
from gateway.cli.tables import AsCsv, show

if TYPE_CHECKING:
    from auth.keys import Key
    from auth.limits import Limit
    from auth.projects import Project
    from auth.store import Store

limits = typer.Typer(help="Show, set and clear the limits of keys and projects.", no_args_is_help=True)

COLUMNS = ("limit", "of", "per", "amount", "model")

Owner = Annotated[str, typer.Argument(metavar="KEY_OR_PROJECT", help="The id or name of a key or of a project.")]
Named = Annotated[
    list[str] | None,
    typer.Option(
        "--limit", metavar="LIMIT", help="As requests/minute or money/month@gpt-*; repeat it.", show_default="all"
    ),
]


@limits.command("show")
def show_(
    owner: Owner,
    config: DatabaseFrom = None,
    home: Home = DEFAULT_HOME,
    as_json: AsJson = False,
    as_csv: AsCsv = False,
) -> None:
    """Show what bounds a key or a project.

    Example: raygate limits show alice
    """
    _show(in_store(config, home, lambda store: _find(store, owner)).limits, as_json, as_csv)


@limits.command("set")
def set_(
    owner: Owner,
    limit: LimitTexts = None,
    config: DatabaseFrom = None,
    home: Home = DEFAULT_HOME,
    as_json: AsJson = False,
    as_csv: AsCsv = False,
) -> None:
    """Set some limits, and keep the others; running gateways learn of it within a second.

    Example: raygate limits set alice --limit requests/minute=60 --limit 'money/month=10@gpt-*'
    """
    from auth.limit_text import read_limits

    if not limit:
        fail("name at least one --limit, as requests/minute=60", MISTAKE)

    def replaced(before: "Iterable[Limit]") -> "Iterable[Limit]":
        by_bound = {(old.of, old.per, old.model): old for old in before}
        return (by_bound | {(new.of, new.per, new.model): new for new in read_limits(limit)}).values()

    _show(_change(config, home, owner, replaced), as_json, as_csv)


@limits.command()
def clear(
    owner: Owner,
    limit: Named = None,
    config: DatabaseFrom = None,
    home: Home = DEFAULT_HOME,
    as_json: AsJson = False,
    as_csv: AsCsv = False,
) -> None:
    """Take limits away: those that are named, or all.

    Example: raygate limits clear alice --limit requests/minute
    """
    from auth.limit_text import names

    def kept(before: "Iterable[Limit]") -> "Iterable[Limit]":
        return [old for old in before if limit and not any(names(text, old) for text in limit)]

    _show(_change(config, home, owner, kept), as_json, as_csv)


def _change(
    config: Path | None, home: Path, owner: str, change: "Callable[[Iterable[Limit]], Iterable[Limit]]"
) -> "Iterable[Limit]":
    from auth.key_changes import update_key
    from auth.keys import Key
    from auth.projects import update_project

    async def work(store: "Store") -> "Key | Project":
        found = await _find(store, owner)
        update = update_key if isinstance(found, Key) else update_project
        return await update(store, found.id, version=found.version, limits=tuple(change(found.limits)))

    return in_store(config, home, work).limits


async def _find(store: "Store", owner: str) -> "Key | Project":
    """Return the one key or project of that id or name."""
    from auth.errors import NotFound
    from auth.keys import read_key
    from auth.projects import read_project

    found: list[Key | Project] = []
    for read in (read_key, read_project):
        try:
            found.append(await read(store, owner))
        except NotFound as error:
            if "several" in str(error):
                raise
    if not found:
        raise NotFound(f"no key or project {owner!r}")
    if len(found) > 1:
        raise NotFound(f"a key and a project are named {owner!r}: use the id")
    return found[0]


def _show(limits: "Iterable[Limit]", as_json: bool, as_csv: bool) -> None:
    from dataclasses import asdict

    from auth.limit_text import write_limit

    show([{"limit": write_limit(limit), **asdict(limit)} for limit in limits], COLUMNS, as_json=as_json, as_csv=as_csv)
