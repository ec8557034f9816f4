"""``raygate projects``: who owns keys, and what bounds them all together."""

import json
from typing import TYPE_CHECKING, Annotated, Any

import typer

from gateway.cli.database import DatabaseFrom, LimitTexts, in_store, iso
from gateway.cli.options import DEFAULT_HOME, AsJson, Home
from gateway.cli.tables import AsCsv, show

if TYPE_CHECKING:
    from auth.projects import Project

projects = typer.Typer(help="Make, list and archive projects.", no_args_is_help=True)

COLUMNS = ("id", "name", "limits", "created_at", "state")

Name = Annotated[str, typer.Argument(metavar="NAME", help="What to call it; unique among the projects in use.")]
IdOrName = Annotated[str, typer.Argument(metavar="ID", help="The project's id, or its name.")]


@projects.command()
def create(
    name: Name,
    limit: LimitTexts = None,
    config: DatabaseFrom = None,
    home: Home = DEFAULT_HOME,
    as_json: AsJson = False,
) -> None:
    """Make a project.

    Example: raygate projects create research --limit money/month=100
    """
    from auth.limit_text import read_limits
    from auth.projects import create_project

    project = in_store(config, home, lambda store: create_project(store, name=name, limits=read_limits(limit or ())))
    typer.echo(json.dumps(fields(project), indent=2) if as_json else project.id)


@projects.command("list")
def list_(
    config: DatabaseFrom = None, home: Home = DEFAULT_HOME, as_json: AsJson = False, as_csv: AsCsv = False
) -> None:
    """List all projects, archived ones too.

    Example: raygate projects list
    """
    from auth.projects import list_projects

    found = [fields(project) for project in in_store(config, home, list_projects)]
    show(found, COLUMNS, as_json=as_json, as_csv=as_csv)


@projects.command("show")
def show_(
    id_or_name: IdOrName, config: DatabaseFrom = None, home: Home = DEFAULT_HOME, as_json: AsJson = False
) -> None:
    """Show one project.

    Example: raygate projects show research
    """
    from auth.projects import read_project

    project = fields(in_store(config, home, lambda store: read_project(store, id_or_name)))
    if as_json:
        typer.echo(json.dumps(project, indent=2))
    else:
        show([{"field": field, "value": value} for field, value in project.items()], ("field", "value"))


@projects.command()
def archive(
    id_or_name: IdOrName, config: DatabaseFrom = None, home: Home = DEFAULT_HOME, as_json: AsJson = False
) -> None:
    """Make a project's keys invalid; running gateways learn of it within a second.

    Example: raygate projects archive research
    """
    from auth.projects import update_project

    project = in_store(config, home, lambda store: update_project(store, id_or_name, archived=True))
    typer.echo(json.dumps(fields(project), indent=2) if as_json else f"archived {project.name} ({project.id})")


def fields(project: "Project") -> dict[str, Any]:
    """Return what is shown of a project."""
    from auth.limit_text import write_limit

    return {
        "id": project.id,
        "name": project.name,
        "limits": [write_limit(limit) for limit in project.limits],
        "created_at": iso(project.created_at),
        "state": "archived" if project.archived_at else "active",
        "version": project.version,
    }
