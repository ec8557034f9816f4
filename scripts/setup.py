"""Build the environment that ``make serve`` and ``make test`` run in.

Run by the virtual environment's own Python, which may be as bare as ``python -m venv`` leaves it::

    .venv/bin/python scripts/setup.py [--dev] [--accelerator auto|cpu|cuda]

A second run finds the stamp of the first one and ends at once. What is installed stands in ``recipe.py``.
"""

import argparse
import fcntl
import hashlib
import importlib.util
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import sysconfig
import time
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from recipe import FOR_TESTS, ROOT, UNCOMPILED, detect_accelerator, missing_system_packages, plan

BOOTSTRAP = ("pip>=26.1,<27", "rich>=15,<16", "packaging>=25")
"""What this script itself needs."""

PIP_INSTALL = (
    *("-m", "pip", "install", "--no-input", "--disable-pip-version-check", "--progress-bar=off"),
    *("--prefer-binary", "--no-compile"),
)


class SetupError(Exception):
    """The environment cannot be built; the message says why and what to do."""


@dataclass(frozen=True)
class Stamp:
    """What an environment was built from.

    Attributes:
        recipe: a hash of the project's metadata, these scripts and the environment's place.
        accelerator: ``cpu`` or ``cuda``.
        dev: whether the tools for tests are in it.
    """

    recipe: str
    accelerator: str
    dev: bool

    @classmethod
    def read(cls, path: Path) -> "Stamp | None":
        """Return what was written last, or ``None``."""
        try:
            return cls(**json.loads(path.read_text()))
        except (OSError, ValueError, TypeError):
            return None

    def write(self, path: Path) -> None:
        """Keep this for the next run."""
        path.write_text(json.dumps(asdict(self)))

    def covers(self, recipe: str, accelerator: str, *, dev: bool) -> bool:
        """Tell whether nothing is left to do."""
        return self.recipe == recipe and accelerator in ("auto", self.accelerator) and (self.dev or not dev)


def recipe_hash(prefix: Path) -> str:
    """Return a hash that changes whenever the environment has to be built again."""
    ingredients = (ROOT / "pyproject.toml", ROOT / "scripts/recipe.py", Path(__file__))
    parts = [path.read_bytes() for path in ingredients]
    return hashlib.sha256(b"\0".join([*parts, str(prefix).encode()])).hexdigest()


def install_system_packages(packages: Collection[str], log: Path, report: "Report") -> None:
    """Install Debian packages where we may, else say which are missing.

    Raises:
        SetupError: when we may not, and Raygate cannot run without one of them.
    """
    names = " ".join(packages)
    if os.geteuid() == 0 and shutil.which("apt-get"):
        with report.step(f"Installing {names}", f"Installed {names}") as show:
            run(["apt-get", "update"], log, show)
            run(["apt-get", "install", "--yes", "--no-install-recommends", *packages], log, show)
    elif set(packages) <= set(FOR_TESTS.values()):
        report.say(f"Some tests will be skipped: they need {names}")
    else:
        raise SetupError(f"Raygate needs system packages. Please run: sudo apt-get install {names}")


def progress_of(line: str) -> str | None:
    """Return what a line of pip's output says about its progress, in a few words."""
    if found := re.match(r"\s*Collecting ([\w.-]+)", line):
        return f"resolving {found[1]}"
    if found := re.match(r"\s*(?:Downloading|Using cached|Processing) (?:\S*/)?([\w.]+)-\S+( \(.*\))?", line):
        return f"fetching {found[1]}{found[2] or ''}"
    if line.startswith("Installing collected packages:"):
        return f"unpacking {line.count(',') + 1} packages"
    return None


def run(command: list[str], log: Path, show: Callable[[str], None]) -> None:
    """Run a command with its output in ``log`` and its progress in ``show``.

    Raises:
        SetupError: when it fails, with the end of what it said.
    """
    # The run level keeps Debian from starting the servers that it installs.
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive", "RUNLEVEL": "1"}
    lines: list[str] = []
    with (
        log.open("a") as kept,
        subprocess.Popen(
            command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace"
        ) as process,
    ):
        assert process.stdout is not None
        try:
            for line in process.stdout:
                kept.write(line)
                lines.append(line.rstrip())
                if progress := progress_of(line):
                    show(progress)
        except BaseException:
            process.terminate()
            raise
    if process.returncode:
        said = [line for line in lines if not re.match(r"WARNING: Location .* is ignored", line)]
        raise SetupError("\n".join([f"`{Path(command[0]).name} {' '.join(command[1:4])} ...` failed:", *said[-15:]]))


def bootstrap(log: Path) -> None:
    """Make sure of a present-day pip, and of Rich to show the rest with.

    Raises:
        SetupError: when they cannot be installed.
    """
    if importlib.util.find_spec("rich") and importlib.util.find_spec("packaging"):
        return
    print("Preparing the installer ...", flush=True)
    if not importlib.util.find_spec("pip"):
        run([sys.executable, "-m", "ensurepip"], log, lambda _: None)
    run([sys.executable, *PIP_INSTALL, "--upgrade", *BOOTSTRAP], log, lambda _: None)
    importlib.invalidate_caches()


class Report:
    """Shows steps with their elapsed time: a spinner in a terminal, plain lines elsewhere."""

    def __init__(self) -> None:
        from rich.console import Console

        self._console = Console(highlight=False, soft_wrap=True)
        self._began = time.monotonic()

    @contextmanager
    def step(self, doing: str, done: str) -> Iterator[Callable[[str], None]]:
        """Show a step while the block runs; yields a function that shows its details."""
        from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

        began = time.monotonic()
        if self._console.is_terminal:
            columns = (SpinnerColumn(), TextColumn("{task.description}"), TimeElapsedColumn())
            with Progress(*columns, TextColumn("[dim]{task.fields[detail]}"), transient=True) as progress:
                task = progress.add_task(doing, total=None, detail="")
                yield lambda detail: progress.update(task, detail=detail)
        else:
            self._console.print(f"{doing} ...")
            yield lambda detail: None
        self._console.print(f"[green]✓[/] {done} in {time.monotonic() - began:.0f} s")

    def say(self, text: str) -> None:
        """Show a line."""
        self._console.print(text)

    def finish(self) -> None:
        """Say that all is there."""
        self._console.print(f"[green]✓[/] The environment is ready after {time.monotonic() - self._began:.0f} s")


@contextmanager
def only_one(path: Path) -> Iterator[None]:
    """Hold a lock, so that two starts at once do not install into each other."""
    with path.open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def build(wanted: Stamp, log: Path, report: Report) -> None:
    """Bring the environment to what is wanted.

    Raises:
        SetupError: when a step fails.
    """
    if packages := missing_system_packages(wanted.accelerator, dev=wanted.dev):
        install_system_packages(packages, log, report)
    for step in plan(wanted.accelerator, dev=wanted.dev):
        with report.step(f"Installing {step.title}", f"Installed {step.title}") as show:
            run([sys.executable, *PIP_INSTALL, *step.arguments()], log, show)
    with report.step("Compiling Python files", "Compiled Python files"):
        # Here, on all cores, rather than by pip on one. Some packages carry files that are no Python: not our error.
        compileall = [sys.executable, "-m", "compileall", "-q", "-j0", "-x", UNCOMPILED, sysconfig.get_path("purelib")]
        subprocess.run(compileall, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=False)


def arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description="Build the environment for Raygate.")
    parser.add_argument("--dev", action="store_true", help="add the tools for tests and linting")
    parser.add_argument("--accelerator", choices=("auto", "cpu", "cuda"), default="auto")
    return parser.parse_args()


def main(options: Any) -> int:
    """Build the environment unless it is there; returns the exit code."""
    prefix = Path(sys.prefix)
    if sys.prefix == sys.base_prefix:
        print("Run this with the Python of a virtual environment: .venv/bin/python scripts/setup.py", file=sys.stderr)
        return 2
    recipe, place, log = recipe_hash(prefix), prefix / "raygate-setup.json", prefix / "raygate-setup.log"
    with only_one(prefix / "raygate-setup.lock"):
        built = Stamp.read(place)
        if built and built.covers(recipe, options.accelerator, dev=options.dev):
            return 0
        accelerator = detect_accelerator() if options.accelerator == "auto" else options.accelerator
        wanted = Stamp(recipe, accelerator, dev=options.dev or bool(built and built.dev))
        log.unlink(missing_ok=True)
        try:
            bootstrap(log)
            report = Report()
            build(wanted, log, report)
        except SetupError as error:
            print(f"{error}\nThe environment could not be built. All output is in {log}", file=sys.stderr)
            return 2
        wanted.write(place)
        report.finish()
    return 0


def interrupted(number: int, _: Any) -> None:
    """End as the signal asks, and what we started with us."""
    sys.exit(128 + number)


if __name__ == "__main__":
    signal.signal(signal.SIGINT, interrupted)
    signal.signal(signal.SIGTERM, interrupted)
    sys.exit(main(arguments()))
