"""Which models' lines of a batch wait: those that were told when to come back, and those whose provider refuses us.

Of a model that its provider refuses one line is tried now and then, at longer and longer intervals, until one is
answered: only an operator can mend it, and nobody tells us when that is done.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass, field

FIRST_S = 5.0
LONGEST_S = 300.0
"""The first and the longest interval between two lines that are tried."""


@dataclass
class Pauses:
    """The waits of one batch, by the name that its lines ask for."""

    clock: Callable[[], float] = time.monotonic
    _until: dict[str, float] = field(default_factory=dict)
    _interval_s: dict[str, float] = field(default_factory=dict)
    _tried: set[str] = field(default_factory=set)

    def left_s(self, model: str) -> float:
        """Return how long the model's lines are to wait still; 0 when one may run."""
        return max(0.0, self._until.get(model, 0.0) - self.clock())

    def told(self, model: str, seconds: float) -> None:
        """Note that the model is to be asked again after so long."""
        self._until[model] = max(self._until.get(model, 0.0), self.clock() + seconds)

    def begun(self, model: str) -> None:
        """Note that a line runs; while the model refuses, no other does before this one has told how it went."""
        if model in self._interval_s:
            self._tried.add(model)
            self.told(model, self._interval_s[model])

    def refused(self, model: str) -> float | None:
        """Note that the provider refuses us; return the new interval, ``None`` for a line that ran beside others."""
        known_s = self._interval_s.get(model)
        if known_s is not None and model not in self._tried:
            return None
        self._tried.discard(model)
        self._interval_s[model] = FIRST_S if known_s is None else min(known_s * 2, LONGEST_S)
        self._until[model] = self.clock() + self._interval_s[model]
        return self._interval_s[model]

    def answered(self, model: str) -> None:
        """Note that the model answers: what kept its lines back as refused keeps them no more."""
        if self._interval_s.pop(model, None) is not None:
            self._tried.discard(model)
            self._until.pop(model, None)
