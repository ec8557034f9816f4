"""Bounds how often a key is refused: whoever asks on regardless is sent away before anything of a request is read.

A bucket a key: each refusal takes one of its tokens, and time puts them back. A request that is let in takes none, and
being sent away takes none either, so a key comes through again as soon as there is a token.
"""

import time
from collections import OrderedDict
from collections.abc import Callable

PER_MINUTE = 600
"""Of one key, unless an operator says otherwise."""

MAX_KEYS = 10_000
"""Those that were refused longest ago are forgotten first."""


class RefusalLimit:
    """Counts refusals by key.

    Args:
        per_minute: refusals of one key that are answered in full; as many may come at once.
        clock: seconds of a clock that only rises.
    """

    def __init__(self, per_minute: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._most = float(per_minute)
        self._per_s = per_minute / 60
        self._clock = clock
        self._left: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def __len__(self) -> int:
        return len(self._left)

    def refused(self, key_id: str) -> None:
        """Note that a request was refused."""
        self._left[key_id] = max(0.0, self._of(key_id) - 1), self._clock()
        self._left.move_to_end(key_id)
        if len(self._left) > MAX_KEYS:
            self._left.popitem(last=False)

    def wait_s(self, key_id: str) -> float:
        """Return after how many seconds another request of the key is looked at; 0 for at once."""
        if key_id not in self._left:
            return 0.0
        missing = 1 - self._of(key_id)
        return max(0.0, missing / self._per_s)

    def _of(self, key_id: str) -> float:
        left, counted_at = self._left.get(key_id, (self._most, self._clock()))
        return min(self._most, left + (self._clock() - counted_at) * self._per_s)
