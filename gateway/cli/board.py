"""Shows what is going on at start-up: a line for each step and each model, with its state and how long it took."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.live import Live
from rich.spinner import Spinner
from rich.table import Table
from rich.text import Text

_ENDS = {"done": "green", "ready": "green", "refused": "yellow", "failed": "red", "stopped": "yellow"}
"""The states in which a line's clock stands still, and their colours."""


@dataclass
class _Line:
    name: str
    state: str
    detail: str = ""
    began: float = field(default_factory=time.monotonic)
    ended: float | None = None

    @property
    def elapsed_s(self) -> float:
        return (self.ended or time.monotonic()) - self.began


class Board:
    """The lines: live on a terminal, and elsewhere one plain line for each change.

    Example::

        with Board(console) as board:
            with board.step("database"):
                ...
            board.set("smollm2", "starting")
            board.set("smollm2", "failed", "the folder holds no weights")
    """

    def __init__(self, console: Console) -> None:
        self._console = console
        self._lines: dict[str, _Line] = {}
        self._live = Live(console=console, get_renderable=self._table, refresh_per_second=8)

    def __enter__(self) -> Self:
        if self._console.is_terminal:
            self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._live.stop()

    def set(self, name: str, state: str, detail: str = "") -> None:
        """Change a line, or begin it."""
        line = self._lines.setdefault(name, _Line(name, ""))
        if (line.state, line.detail) == (state, detail):
            return
        line.state, line.detail = state, detail
        line.ended = time.monotonic() if state in _ENDS else None
        if not self._console.is_terminal:
            words = [f"{name}: {state}", f"({line.elapsed_s:.1f} s)" if line.ended else "", detail]
            self._console.print(" ".join(filter(None, words)), markup=False, highlight=False, soft_wrap=True)

    @contextmanager
    def step(self, name: str) -> Iterator[None]:
        """Show a step while it runs."""
        self.set(name, "running")
        try:
            yield
        except BaseException:
            self.set(name, "failed")
            raise
        self.set(name, "done")

    def _table(self) -> Table:
        table = Table.grid(padding=(0, 2))
        for line in self._lines.values():
            colour = _ENDS.get(line.state)
            mark = Text("●", style=colour) if colour else Spinner("dots")
            state = Text(line.state, style=colour or "")
            detail = Text(line.detail, style="dim", overflow="fold")
            table.add_row(mark, line.name, state, f"{line.elapsed_s:.1f} s", detail)
        return table
