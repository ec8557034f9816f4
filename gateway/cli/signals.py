"""Turns Ctrl-C and SIGTERM into something that a loop can ask."""

import signal
from types import FrameType, TracebackType
from typing import Self


class StopSignals:
    """Counts the signals that ask for an end: one asks to stop in order, a second one to stop at once."""

    def __init__(self) -> None:
        self._count = 0

    def __enter__(self) -> Self:
        self._before = {number: signal.signal(number, self._heard) for number in (signal.SIGINT, signal.SIGTERM)}
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def stop(self) -> bool:
        """Say whether somebody asked for an end."""
        return self._count > 0

    def hurry(self) -> bool:
        """Say whether somebody asked twice."""
        return self._count > 1

    def _heard(self, number: int, frame: FrameType | None) -> None:
        self._count += 1
