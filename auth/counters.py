"""All counters of a replica: finds those of a request, and speaks for all of them to the coordinator."""

import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from auth.counter import Counter, Owner
from auth.leases import Demand, Reply
from auth.limits import Limit
from auth.periods import DAY_S, period_of

_LOOKED_AT = 500
"""Counters that a report looks at for leases that do not fit: a bound on its time, whatever the number of keys."""
_MAX_FOUND = 16_384


@dataclass(frozen=True, slots=True)
class Bound:
    """Somebody who is bound by limits."""

    owner: Owner
    id: str
    limits: tuple[Limit, ...]


@dataclass(frozen=True, slots=True)
class _Found:
    limits: tuple[tuple[Limit, ...], ...]
    counters: tuple[Counter, ...]


class Counters:
    """This replica's counters. ``now`` is a monotonic clock's time in seconds.

    Args:
        wall: the calendar's time in seconds since the epoch; where it goes backwards, it is taken to stand still.
    """

    def __init__(self, wall: Callable[[], float] = time.time) -> None:
        self._wall = wall
        self._day = 0.0
        self._counters: dict[str, Counter] = {}
        self._found: dict[str, dict[tuple[str, ...], _Found]] = {}
        self._busy: set[Counter] = set()
        self._rota: deque[Counter] = deque()

    def find(self, bounds: Sequence[Bound], names: tuple[str, ...], now: float) -> tuple[Counter, ...]:
        """Return the counters of a request that goes by ``names``, by those ``bounds``; the first is its key's."""
        day = self._wall() // DAY_S
        if day > self._day or len(self._found) > _MAX_FOUND:
            self._day = max(day, self._day)
            self._found.clear()
        limits = tuple(bound.limits for bound in bounds)
        of_key = self._found.setdefault(bounds[0].id, {})
        found = of_key.get(names)
        if found is None or found.limits != limits:
            found = of_key[names] = _Found(limits, tuple(self._applicable(bounds, names, now)))
        return found.counters

    def of(self, bound: Bound, now: float) -> list[Counter]:
        """Return every counter of somebody, whatever the model."""
        return [self._counter(bound, limit, now) for limit in bound.limits]

    def note(self, counters: Sequence[Counter], amounts: Sequence[float]) -> None:
        """Let the next report speak of a request that asks for those amounts, admitted or not."""
        for counter, amount in zip(counters, amounts, strict=True):
            counter.tried(amount)
        self._busy.update(counters)

    @contextmanager
    def blocked(self, counters: Sequence[Counter], amounts: Sequence[float]) -> Iterator[None]:
        """Let reports ask for the room that a request waits for meanwhile, in all of its limits at once."""
        for counter, amount in zip(counters, amounts, strict=True):
            counter.blocked(amount)
        self._busy.update(counters)
        try:
            yield
        finally:
            for counter, amount in zip(counters, amounts, strict=True):
                counter.unblocked(amount)

    def note_all(self) -> None:
        """Let the next report speak of every counter."""
        self._busy.update(self._rota)

    def surrender(self, now: float) -> None:
        """Give up every lease but for what has been used: others may have been promised the rest."""
        for counter in self._rota:
            counter.lease = counter.meter.used(now)
        self.note_all()

    @property
    def are_none(self) -> bool:
        """Whether nothing is counted: nobody who asks is limited."""
        return not self._counters

    @property
    def are_wanted(self) -> bool:
        """Whether other replicas wait for what this one may not need."""
        return any(counter.scarce for counter in self._busy)

    def demands(self, now: float) -> tuple[Demand, ...]:
        """Return what to tell the coordinator: of the counters in use, and of some that hold too much or too little."""
        due = self._busy | set(self._ill_fitting(now))
        demands = tuple(counter.demand(now) for counter in due)
        self._busy = {counter for counter in due if counter.is_busy()}
        return demands

    def take(self, demands: Iterable[Demand], reply: Reply, now: float) -> None:
        """Take the coordinator's answer to those demands."""
        for demand in demands:
            counter, grant = self._counters.get(demand.counter), reply.grants.get(demand.counter)
            if counter is not None and grant is not None:
                counter.grant(demand, grant, now)
        for name in reply.scarce:
            if name in self._counters:
                self._counters[name].scarce = True
                self._busy.add(self._counters[name])

    def _applicable(self, bounds: Iterable[Bound], names: tuple[str, ...], now: float) -> Iterable[Counter]:
        for bound in bounds:
            for limit in bound.limits:
                if limit.applies_to(names):
                    yield self._counter(bound, limit, now)

    def _counter(self, bound: Bound, limit: Limit, now: float) -> Counter:
        """Return the counter, which outlives a change of its limit's amount."""
        fresh = Counter(limit, bound.owner, bound.id)
        if limit.per in ("day", "month"):
            day_s = max(self._wall(), self._day * DAY_S)
            period = period_of(limit.per, day_s)
            fresh = Counter(limit, bound.owner, bound.id, period.name, now + period.ends_at - day_s)
        counter = self._counters.setdefault(fresh.id, fresh)
        if counter is fresh:
            self._rota.append(counter)
        counter.limit = limit
        return counter

    def _ill_fitting(self, now: float) -> Iterable[Counter]:
        for _ in range(min(_LOOKED_AT, len(self._rota))):
            counter = self._rota.popleft()
            # One that somebody has just asked about is to hear from the coordinator first, idle or not.
            if counter.is_idle(now) and counter not in self._busy:
                self._forget(counter)
                yield from [counter] if counter.lease else []
                continue
            self._rota.append(counter)
            if counter.has_excess(now) or counter.is_overdrawn(now):
                yield counter

    def _forget(self, counter: Counter) -> None:
        del self._counters[counter.id]
        self._busy.discard(counter)
        if counter.owner == "key":
            self._found.pop(counter.owner_id, None)
        else:
            self._found.clear()
