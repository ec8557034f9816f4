"""``raygate serve``: from a configuration file to models that answer, and back to nothing."""

import os
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console

from gateway.cli.greeting import greeting
from gateway.cli.options import DEFAULT_HOME, MISTAKE, ConfigFile, Home, fail
from gateway.cli.signals import StopSignals
from gateway.cli.startup import await_models, prepare

if TYPE_CHECKING:
    from gateway.cluster.supervisor import Cluster
    from gateway.config.schema import Config

_WATCH_S = 0.2

Host = Annotated[str | None, typer.Option(help="The interface to listen on.", show_default="the file's, else 0.0.0.0")]
Port = Annotated[int | None, typer.Option(help="Where clients connect.", show_default="the file's, else 8000")]


def serve(file: ConfigFile, host: Host = None, port: Port = None, home: Home = DEFAULT_HOME) -> None:
    """Run the models of a configuration file until Ctrl-C.

    Example: raygate serve configs/quickstart.yaml --port 8080

    The first start makes an API key and shows it once; RAYGATE_API_KEY, if set, is that key instead.
    A second Ctrl-C ends everything at once. Exit codes: 0 stopped, 1 failed, 2 something to put right first.
    """
    from auth.errors import AuthError
    from gateway.cluster import preflight
    from gateway.config.check import load
    from gateway.config.file import ConfigError

    try:
        config = load(file)
        host, port = host or config.gateway.host, port or config.gateway.port
        preflight.check(config, host=host, port=port)
        _run(config, home.expanduser().resolve(), host, port)
    except (ConfigError, preflight.OperatorMistake, AuthError) as error:
        fail(error, MISTAKE)


def _run(config: "Config", home: Path, host: str, port: int) -> None:
    from gateway.cluster.home import make_private
    from gateway.cluster.supervisor import Cluster, survivors

    make_private(home)
    console = Console(highlight=False, soft_wrap=True)
    base_url = f"http://{'127.0.0.1' if host == '0.0.0.0' else host}:{port}"
    given_key = os.environ.get("RAYGATE_API_KEY")
    with StopSignals() as signals:
        first_key = prepare(config, home, given_key, console, signals)
        if signals.stop():
            return
        with Cluster(config, home=home, host=host, port=port, hurry=signals.hurry) as cluster:
            states = await_models(cluster, [model.name for model in config.models], base_url, home, console, signals)
            if states and all(state.state == "failed" for state in states):
                fail(f"No model could start. The log is in {cluster.log.parent}.")
            if states:
                console.print(greeting(config, base_url, states, None if given_key else first_key), markup=False)
            _watch(cluster, signals)
            console.print("Stopping.")
        if left := survivors():
            fail(f"These processes did not end: {left}.")


def _watch(cluster: "Cluster", signals: StopSignals) -> None:
    """Wait for a signal to stop, or for the cluster's unexpected end."""
    while cluster.is_running():
        if signals.stop():
            return
        time.sleep(_WATCH_S)
    fail("\n".join(["The cluster ended unexpectedly.", *cluster.last_words(), f"The log is {cluster.log}."]))
