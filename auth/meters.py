"""Meters: how much has been used.

A charge is kept in a ``Bucket``, so that it can be corrected later where it stands.
"""

import math
from collections import deque
from typing import Protocol

WINDOW_S = 60.0
BUCKET_S = 0.5


class Bucket:
    """Charges that leave the meter together."""

    __slots__ = ("amount", "index")

    def __init__(self, index: int) -> None:
        self.index = index
        self.amount = 0.0


class Meter(Protocol):
    """What every meter can do; ``now`` is a monotonic clock's time in seconds."""

    def used(self, now: float) -> float:
        """Return what counts at this moment."""

    def charge(self, amount: float, now: float) -> Bucket:
        """Add to what is used; return where it was added."""

    def correct(self, bucket: Bucket, by: float, now: float) -> None:
        """Change an earlier charge; nothing happens when it no longer counts."""

    def frees_in(self, amount: float, now: float) -> float | None:
        """Return the seconds until that much is free again by itself, ``None`` when that cannot be known."""


class SlidingWindow:
    """Counts what was used within the last minute.

    A bucket leaves only when all of it is older than the window, so the meter sees between 60.0 and 60.5 seconds:
    in no 60 seconds, wherever they begin, can more than the limit be used, and at most 1 % of it goes unused.
    Time that goes backwards counts as time that stands still.
    """

    __slots__ = ("_buckets", "_latest", "_total")

    def __init__(self) -> None:
        self._buckets: deque[Bucket] = deque()
        self._latest = -math.inf
        self._total = 0.0

    def used(self, now: float) -> float:
        """Return what was used within the window."""
        self._latest = now = max(now, self._latest)
        buckets = self._buckets
        while buckets and _leaves_at(buckets[0]) <= now:
            self._total -= buckets.popleft().amount
        if not buckets:
            self._total = 0.0  # sums of fractions leave dust
        return self._total

    def charge(self, amount: float, now: float) -> Bucket:
        """Add to the newest bucket."""
        self.used(now)
        index = int(self._latest // BUCKET_S)
        if not self._buckets or self._buckets[-1].index != index:
            self._buckets.append(Bucket(index))
        bucket = self._buckets[-1]
        bucket.amount += amount
        self._total += amount
        return bucket

    def correct(self, bucket: Bucket, by: float, now: float) -> None:
        """Change a charge where it stands, if it is within the window still."""
        self.used(now)
        if self._buckets and bucket.index >= self._buckets[0].index:
            bucket.amount += by
            self._total += by

    def frees_in(self, amount: float, now: float) -> float | None:
        """Return the seconds until the oldest buckets that hold that much have left."""
        self.used(now)
        freed = 0.0
        for bucket in self._buckets:
            freed += bucket.amount
            if freed >= amount:
                return _leaves_at(bucket) - self._latest
        return None


class Tally:
    """Counts until told otherwise: requests that are open, or what was used in one day or month."""

    __slots__ = ("_bucket",)

    def __init__(self) -> None:
        self._bucket = Bucket(0)

    def used(self, now: float) -> float:
        """Return the sum."""
        return self._bucket.amount

    def charge(self, amount: float, now: float) -> Bucket:
        """Add to the sum."""
        self._bucket.amount += amount
        return self._bucket

    def correct(self, bucket: Bucket, by: float, now: float) -> None:
        """Change the sum."""
        bucket.amount += by

    def frees_in(self, amount: float, now: float) -> float | None:
        """Return ``None``: nothing leaves by itself."""
        return None


def _leaves_at(bucket: Bucket) -> float:
    return (bucket.index + 1) * BUCKET_S + WINDOW_S
