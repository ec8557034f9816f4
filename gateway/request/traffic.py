"""Which models somebody waits for: the requests inside this gateway replica, less those of batches."""

import contextlib
import time
from collections import Counter
from collections.abc import Callable, Iterator


class Traffic:
    """Counts clients' requests by model, and tells of each one that comes."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._inside: Counter[str] = Counter()
        self._seen_at: dict[str, float] = {}
        self._listeners: list[Callable[[str], None]] = []

    @contextlib.contextmanager
    def entered(self, model: str) -> Iterator[None]:
        """Count a request for a model as long as it is inside."""
        self._inside[model] += 1
        for tell in self._listeners:
            tell(model)
        try:
            yield
        finally:
            self._inside[model] -= 1
            self._seen_at[model] = self._clock()

    @contextlib.contextmanager
    def watched(self, tell: Callable[[str], None]) -> Iterator[None]:
        """Call ``tell`` with the model's name for each request that enters; it must not wait."""
        self._listeners.append(tell)
        try:
            yield
        finally:
            self._listeners.remove(tell)

    def inside(self, model: str) -> int:
        """Return how many requests for a model are inside."""
        return self._inside[model]

    def quiet_s(self, model: str) -> float:
        """Return for how long none has been inside, in seconds; infinite where none has ever been."""
        if self._inside[model]:
            return 0.0
        return self._clock() - self._seen_at.get(model, float("-inf"))
