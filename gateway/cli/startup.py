"""The steps from a checked configuration to models that answer, shown on a board."""

import asyncio
import time
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console

from gateway.cli.board import Board
from gateway.cli.http import Unreachable
from gateway.cli.options import MISTAKE, fail
from gateway.cli.readyz import ModelState, ask
from gateway.cli.signals import StopSignals

if TYPE_CHECKING:
    from gateway.cluster.supervisor import Cluster
    from gateway.config.schema import Config

_POLL_S = 0.2
_SETTLED = ("ready", "refused", "failed")


def prepare(config: "Config", home: Path, key: str | None, console: Console, signals: StopSignals) -> str | None:
    """Bring the database up to date and convert the embedded models; return the first key when it has just been made.

    Args:
        config: what is to run.
        home: where the database and the converted models lie.
        key: what the first key is to be; ``None`` draws one.
        console: where progress shows.
        signals: an end that is asked for ends the conversion.
    """
    from gateway.cluster.first_start import missing_embedded, prepare_store

    with Board(console) as board:
        with board.step("database"):
            first_key = asyncio.run(prepare_store(config, home, key))
        for name in missing_embedded(config, home):
            _convert(name, home, board, signals)
    return first_key


def _convert(name: str, home: Path, board: Board, signals: StopSignals) -> None:
    from gateway.cluster.first_start import convert_embedded

    with board.step(f"converting {name}"), convert_embedded(name, home) as process:
        while process.poll() is None:
            if signals.stop():
                process.terminate()
            time.sleep(_POLL_S)
        if process.returncode and not signals.stop():
            said = process.stderr.read().strip().splitlines() if process.stderr else []
            reason = said[-1] if said else "no reason given"
            fail(f"The embedded model {name!r} could not be prepared: {reason}", MISTAKE)


def await_models(
    cluster: "Cluster", names: list[str], base_url: str, home: Path, console: Console, signals: StopSignals
) -> list[ModelState]:
    """Return each model's state once all are ready or failed; nothing when the cluster ends before, or is to end.

    Args:
        cluster: what is starting.
        names: the models.
        base_url: where the gateway will answer.
        home: its folder.
        console: where progress shows.
        signals: an end that is asked for ends the wait.
    """
    with Board(console) as board:
        for name in ("cluster", *names):
            board.set(name, "starting")
        while cluster.is_running() and not signals.stop():
            states = _ask(base_url, home)
            if states:
                board.set("cluster", "ready")
            for state in states:
                board.set(state.name, state.state, state.detail)
            if states and all(state.state in _SETTLED for state in states):
                return states
            time.sleep(_POLL_S)
        return []


def _ask(base_url: str, home: Path) -> list[ModelState]:
    try:
        return ask(base_url, home=home).models
    except Unreachable:
        return []
