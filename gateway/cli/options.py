"""The options that several commands share, and the two ways in which they end badly."""

from pathlib import Path
from typing import Annotated, NoReturn

import typer

FAILURE, MISTAKE = 1, 2
"""Exit codes: something went wrong; the operator has to change something."""

ConfigFile = Annotated[Path, typer.Argument(metavar="FILE", help="The configuration, as in configs/quickstart.yaml.")]
Home = Annotated[
    Path,
    typer.Option(envvar="RAYGATE_HOME", help="The folder of the database, secrets and converted models."),
]
BaseUrl = Annotated[str, typer.Option(envvar="RAYGATE_BASE_URL", help="Where the gateway answers.")]
ApiKey = Annotated[str, typer.Option(envvar="RAYGATE_API_KEY", help="A key of the gateway.", show_default=False)]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]

DEFAULT_HOME = Path("~/.raygate")
DEFAULT_BASE_URL = "http://127.0.0.1:8000"


def fail(message: object, code: int = FAILURE) -> NoReturn:
    """End the command with a message on standard error."""
    typer.echo(str(message), err=True)
    raise typer.Exit(code)
