"""What Raygate costs on this machine: ``make bench``, or ``python benchmarks/run.py [--quick] [--gpu]``.

The echo engine is measured by itself, behind Raygate and on Ray Serve's ordinary path; a real model on vLLM by itself
and behind Raygate. The table goes to the terminal and to ``benchmarks/RESULTS.md``. No number makes it fail.
"""

import argparse
import time
from contextlib import ExitStack
from functools import partial
from pathlib import Path

import uvloop
from rich.console import Console
from rich.status import Status

from benchmarks import echo_path, governing, many_keys, real_model, recovery
from benchmarks.measure import Results, Tell, measure
from benchmarks.report import Row, busy_warning, machine_facts, markdown, show
from benchmarks.servers import direct_to_engine, engine_alone, ordinary_path, through_raygate, ungoverned_path

HERE = Path(__file__).parent
RESULTS, GPU_RESULTS = HERE / "RESULTS.md", HERE / "RESULTS-GPU.md"
GPU_COMMAND = "python benchmarks/run.py --gpu"
SECONDS, QUICK_SECONDS = 130, 20
"""How long the echo engine is measured, and a third as long as the real model, whose rounds are longer."""


def main() -> None:
    """Measure and report."""
    parser = argparse.ArgumentParser(prog="python benchmarks/run.py", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a short run, which leaves RESULTS.md as it is")
    parser.add_argument("--gpu", action="store_true", help="the real model alone, on a GPU; writes RESULTS-GPU.md")
    args = parser.parse_args()
    seconds = QUICK_SECONDS if args.quick else SECONDS
    console, facts, busy = Console(), machine_facts(), busy_warning()
    with console.status("starting") as status:
        tell = partial(_tell, status, time.monotonic())
        if args.gpu:
            rows, notes = _real_model(HERE / "smollm2-gpu.yaml", seconds, tell, on_gpu=True)
        else:
            rows, notes = _all(seconds, tell, many=not args.quick)
    notes += ["The load generator shares the cores with the servers.", *busy]
    show(rows, facts, notes, console if console.is_terminal else Console(width=150))
    if not args.quick:
        page, command = (GPU_RESULTS, GPU_COMMAND) if args.gpu else (RESULTS, "make bench")
        page.write_text(markdown(rows, facts, notes, command))


def _all(seconds: float, tell: Tell, *, many: bool) -> tuple[list[Row], list[str]]:
    """Return the rows of everything that needs no GPU, and notes on them.

    ``many`` is whether a million keys and a large ledger are among it.
    """
    echo = _measure_echo(seconds, tell)
    governed = _measure_governing(seconds / 3, tell)
    real, notes = _real_model(HERE / "smollm2.yaml", seconds, tell, on_gpu=False)
    tell(f"making {many_keys.MANY:,} keys")
    keys = many_keys.rows() if many else []
    tell("making a large ledger")
    recovered = recovery.rows() if many else []
    rows = [*echo_path.rows(echo), *governing.rows(governed), *keys, *recovered, *real]
    failures = echo.failures() + governed.failures()
    return rows, [f"With the echo engine: medians of {echo.rounds} rounds, {failures} requests failed.", *notes]


def _real_model(config: Path, seconds: float, tell: Tell, *, on_gpu: bool) -> tuple[list[Row], list[str]]:
    """Return the rows of the real model, and notes on them."""
    streams, beginnings = _measure_real_model(config, seconds, tell)
    failures = streams.failures() + beginnings.failures()
    return real_model.rows(streams, beginnings, on_gpu=on_gpu), [
        f"With SmolLM2: medians of {streams.rounds} rounds of streams and {beginnings.rounds} of first tokens, "
        f"{failures} requests failed.",
        "The servers take turns, and what is compared is compared within each round.",
    ]


def _measure_echo(seconds: float, tell: Tell) -> Results:
    with ExitStack() as servers:
        tell("starting the echo engine, alone, behind Raygate and behind Ray Serve")
        alone = servers.enter_context(engine_alone())
        ordinary = servers.enter_context(ordinary_path())
        raygate, _ = servers.enter_context(through_raygate(HERE / "echo.yaml"))
        paths = {echo_path.ALONE: alone, echo_path.RAYGATE: raygate, echo_path.ORDINARY: ordinary}
        return uvloop.run(measure(paths, echo_path.WORKLOADS, seconds=seconds, tell=tell))


def _measure_governing(seconds: float, tell: Tell) -> Results:
    with ExitStack() as servers:
        tell("starting Raygate with and without keys, limits and ledger")
        governed, running = servers.enter_context(through_raygate(HERE / "echo.yaml"))
        limits = [word for limit in governing.LIMITS for word in ("--limit", limit)]
        running.raygate("limits", "set", "default", *limits).check_returncode()
        ungoverned = servers.enter_context(ungoverned_path())
        paths = {governing.GOVERNED: governed, governing.UNGOVERNED: ungoverned}
        return uvloop.run(measure(paths, governing.WORKLOADS, seconds=seconds, tell=tell))


def _measure_real_model(config: Path, seconds: float, tell: Tell) -> tuple[Results, Results]:
    """Return what whole streams came to, and their beginnings alone."""
    tell("starting SmolLM2 on vLLM")
    with through_raygate(config) as (raygate, running):
        paths = {real_model.DIRECT: direct_to_engine(raygate, running), real_model.RAYGATE: raygate}
        streams = uvloop.run(measure(paths, real_model.STREAMS, seconds=2 * seconds, tell=tell))
        return streams, uvloop.run(measure(paths, real_model.BEGINNINGS, seconds=seconds, tell=tell))


def _tell(status: Status, begun: float, what: str) -> None:
    status.update(f"{time.monotonic() - begun:4.0f} s  {what}")
