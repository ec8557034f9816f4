"""One limit of one owner, as one replica counts it."""

import math
from dataclasses import dataclass, field
from typing import Literal
from weakref import WeakSet

from auth.leases import Demand, Grant
from auth.limits import Limit
from auth.meters import BUCKET_S, WINDOW_S, Meter, SlidingWindow, Tally

Owner = Literal["key", "project"]

DENIED_S = 0.25
"""After the coordinator had nothing to give, requests are rejected for so long without asking it again."""

_AHEAD = 3.0
"""A lease is kept for so many times the busiest recent interval between two reports ..."""
_STANDBY = 0.01
"""... and for at least this part of the limit, unless others wait for it."""
_FADING = 0.8
_STILL = 1e-6
_GUESS_S = 1.0
"""When a slot or another replica's use will be free cannot be known: a client is told to try again so soon."""


@dataclass(slots=True, eq=False)
class Counter:
    """A limit's use on this replica, within the lease that the coordinator has granted.

    Everywhere ``now`` is a monotonic clock's time in seconds.

    Attributes:
        period: the day's or month's name, of a budget.
        ends_at: when the budget's day or month ends, on the monotonic clock.
        lease: how much this replica may have used.
        free: what was unused outside this replica, when the coordinator was last asked.
        promised: what other replicas, which have not been heard yet, may give back of that.
        gone: what replicas that are no more have used; ``None`` before the coordinator has said.
        scarce: other replicas wait for what this one may not need.
    """

    limit: Limit
    owner: Owner
    owner_id: str
    period: str = ""
    ends_at: float = math.inf
    lease: float = 0.0
    free: float = field(init=False)
    promised: float = 0.0
    gone: float | None = None
    scarce: bool = False
    meter: Meter = field(init=False)
    id: str = field(init=False)
    _waiting: list[float] = field(default_factory=list)
    _holders: WeakSet[object] = field(default_factory=WeakSet)
    _denied_at: float = -math.inf
    _tried: float = 0.0
    _pace: float = 0.0

    def __post_init__(self) -> None:
        self.meter = SlidingWindow() if self.limit.per == "minute" else Tally()
        self.free = self.limit.amount
        self.id = "|".join(
            (self.owner, self.owner_id, self.limit.of, self.limit.per or "", self.period, self.limit.model)
        )

    def room(self, now: float, share: float = 0.0) -> float:
        """Return what may be used still; ``share`` is the part of the limit that needs no lease now."""
        allowed = max(self.lease, share * self.limit.amount)
        return min(allowed, self.limit.amount) - self.meter.used(now)

    def tried(self, amount: float) -> None:
        """Note that a request has asked for so much, admitted or not."""
        self._tried += amount

    def blocked(self, amount: float) -> None:
        """Note that a request for so much waits for room: here, or in another of its limits."""
        self._waiting.append(amount)

    def unblocked(self, amount: float) -> None:
        """Note that it waits no more."""
        self._waiting.remove(amount)

    def held_by(self, charge: object) -> None:
        """Stay as long as somebody has a charge that may be corrected yet: from nothing to something, too."""
        self._holders.add(charge)

    def is_denied(self, now: float) -> bool:
        """Say whether the coordinator had nothing to give a moment ago."""
        return now - self._denied_at < DENIED_S

    def demand(self, now: float) -> Demand:
        """Return what to tell the coordinator; what the lease holds beyond that is given up."""
        faded = 0.0 if self.scarce else _still(self._pace * _FADING, self.limit.amount)
        self._pace, self._tried = max(self._tried, faded), 0.0
        used = self.meter.used(now) if now < self.ends_at else 0.0
        room = max(0.0, self.lease - used)
        need = next((amount for amount in self._waiting if room < amount <= self.limit.amount), 0.0)
        target = self._target(used)
        kept = 0.0 if need else min(room, max(target, sum(self._waiting)))
        if self._is_whole:
            kept = math.ceil(kept)
        self.lease, self.scarce = used + kept, False
        want = max(0.0, target - kept - need)
        return Demand(
            self.id, self.limit.amount, used, self.lease, need, want, self._lasts_s(now), self._is_whole, self.gone
        )

    def grant(self, demand: Demand, grant: Grant, now: float) -> None:
        """Take the coordinator's answer to a demand."""
        self.lease += grant.added
        self.free, self.promised, self.gone = grant.free + grant.elsewhere, grant.promised, grant.gone
        if demand.need > grant.added + self.free:
            self.deny(now)

    def deny(self, now: float) -> None:
        """Believe for a moment that there is no room, without asking again."""
        self._denied_at = now

    def is_busy(self) -> bool:
        """Say whether the next report should speak of this counter."""
        return bool(self._tried or self._waiting or self._pace or self.scarce)

    def has_excess(self, now: float) -> bool:
        """Say whether the lease holds more than this replica has use for."""
        used = self.meter.used(now)
        return self.lease - used > self._target(used) + _STILL

    def is_overdrawn(self, now: float) -> bool:
        """Say whether more has been used than the lease holds: a request came to more than it had reserved."""
        return self.meter.used(now) > self.lease + _STILL

    def is_idle(self, now: float) -> bool:
        """Say whether the counter can be forgotten."""
        return now >= self.ends_at or not (self.lease or self.meter.used(now) or self.is_busy() or self._holders)

    def remaining(self, now: float) -> float:
        """Return what is left of the limit on all replicas together, as far as is known."""
        return max(0.0, min(self.limit.amount, self.lease + self.free) - self.meter.used(now))

    def frees_in(self, amount: float, now: float) -> float | None:
        """Return the seconds until there may be room for ``amount``; ``None``: never."""
        if amount > self.limit.amount:
            return None
        if self.ends_at < math.inf:
            return max(0.0, self.ends_at - now)
        return self.meter.frees_in(amount - max(0.0, self.room(now)), now) or _GUESS_S

    def resets_in(self, now: float) -> float:
        """Return the seconds until all of the limit is free, if nothing more is used."""
        if self.ends_at < math.inf:
            return max(0.0, self.ends_at - now)
        return self.meter.frees_in(self.meter.used(now), now) or 0.0

    @property
    def _is_whole(self) -> bool:
        return self.limit.of != "cost"

    def _lasts_s(self, now: float) -> float:
        if self.limit.per is None:
            return 0.0
        return WINDOW_S + BUCKET_S if self.limit.per == "minute" else max(0.0, self.ends_at - now)

    def _target(self, used: float) -> float:
        """Return how much to hold beyond what is used."""
        ahead = self._pace * _AHEAD
        if self.scarce or not (used or ahead):
            return ahead
        standby = self.limit.amount * _STANDBY
        return max(ahead, math.floor(standby) if self._is_whole else standby)


def _still(pace: float, amount: float) -> float:
    return pace if pace > amount * 1e-4 and pace > _STILL else 0.0
