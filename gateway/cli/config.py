"""``raygate check`` and ``raygate config``: a configuration file, without running it."""

from typing import TYPE_CHECKING, Annotated

import typer

from gateway.cli.options import DEFAULT_HOME, MISTAKE, ConfigFile, Home, fail

if TYPE_CHECKING:
    from gateway.config.schema import Config

Serve = Annotated[bool, typer.Option("--serve", help="Print the Ray Serve config file that it compiles to.")]


def check(file: ConfigFile, home: Home = DEFAULT_HOME) -> None:
    """Name every mistake in a configuration file by line, and warn of limits in its database that bound nothing.

    Example: raygate check configs/quickstart.yaml

    Nothing need run. Exit codes: 0 without mistakes, 2 with; warnings go to standard error and change no exit code.
    """
    from gateway.cli.idle_limits import idle_limits

    config = _loaded(file)
    for warning in idle_limits(config, home.expanduser()):
        typer.echo(f"warning: {warning}", err=True)
    typer.echo(f"{file}: no mistakes, models: {', '.join(entry.name for entry in config.entries)}")


def config(file: ConfigFile, serve: Serve = False) -> None:
    """Print a configuration with all its defaults, or as Ray Serve's own config file.

    Example: raygate config configs/quickstart.yaml --serve > serve.yaml && serve deploy serve.yaml
    """
    from gateway.config.compile import serve_config, to_yaml

    loaded = _loaded(file)
    typer.echo(to_yaml(serve_config(loaded) if serve else loaded.model_dump(by_alias=True)), nl=False)


def _loaded(file: ConfigFile) -> "Config":
    from gateway.config.check import load
    from gateway.config.file import ConfigError

    try:
        return load(file)
    except ConfigError as error:
        fail(error, MISTAKE)
