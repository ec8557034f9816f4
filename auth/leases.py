"""How several gateway replicas share one limit without counting together.

The coordinator divides each limit into leases, one a replica; a replica admits while what it has used fits its
lease. Two rules make that exact:

* the leases of a limit never sum to more than the limit;
* a replica gives back only what it has not used (of a minute's limit: not used within the minute).

So the uses never sum to more than the limit either, in any 60 seconds, however late a message is: **while the
coordinator lives, the overshoot is zero.** What can go wrong, and how far:

* Coordinator away (Ray restarts it within seconds): each replica goes on with its lease or, where that is more, an
  equal share of the limit. Worst case of one outage: below twice the limit.
* Coordinator new: the replicas introduce themselves with all that they hold. What nobody holds is read from the
  ledger; until it has said, nothing is granted of a day's or month's limit. A minute's begins with nothing used.
* A replica that could not report for some seconds gives up what it has not used before the coordinator counts on it.
* A replica gone: its lease stays taken for as long as what it had used would count: a minute, or the whole day or
  month. Its slots for concurrent requests are free at once.

This file is a pure function of reports and time. ``lease_actor`` puts it on Ray, ``counters`` is the replica's side.
"""

import math
from collections.abc import Collection, Iterable
from dataclasses import dataclass, field

SILENCE_S = 5.0
"""A replica that has not reported for so long is gone."""

_HUNGER_S = 1.0
"""A need that is neither repeated nor taken back for so long has passed."""


@dataclass(frozen=True, slots=True)
class Demand:
    """What a replica says of one counter.

    Attributes:
        counter: which limit of which owner.
        amount: the limit.
        used: how much counts as used on the replica now.
        keep: how much of its lease the replica holds on to; never less than it has used.
        need: what a request that cannot be admitted now would take beyond ``keep``; 0 when none waits.
        want: what the replica would like beyond ``need``, to be spared the next question.
        lasts_s: how long what is used counts.
        whole: only whole amounts make sense.
        gone: used by replicas that are no more, as far as this replica knows; ``None`` when it does not.
    """

    counter: str
    amount: float
    used: float
    keep: float
    need: float
    want: float
    lasts_s: float
    whole: bool = True
    gone: float | None = None


@dataclass(frozen=True, slots=True)
class Report:
    """A replica's demands; ``sequence`` rises, so that one that was overtaken can be told."""

    replica: str
    sequence: int
    demands: tuple[Demand, ...]


@dataclass(frozen=True, slots=True)
class Grant:
    """The answer to a demand.

    Attributes:
        added: to the replica's lease.
        free: left for anybody.
        elsewhere: leased to other replicas, and not used by them when they last spoke.
        promised: the part of that which may come yet: its holders have not heard, or not answered, that others wait.
        gone: used by replicas that are no more; ``None`` while the ledger has not said.
    """

    added: float
    free: float
    elsewhere: float
    promised: float
    gone: float | None


@dataclass(frozen=True, slots=True)
class Reply:
    """The answer to a report.

    Attributes:
        grants: by counter.
        scarce: counters of which this replica holds a lease and others wait for more.
        replicas: how many replicas there are.
        introduce: the coordinator has not met this replica: it wants to hear of every counter.
    """

    grants: dict[str, Grant]
    scarce: tuple[str, ...]
    replicas: int
    introduce: bool = False


@dataclass(frozen=True, slots=True)
class _Gone:
    amount: float
    until: float
    replica: str | None = None
    from_ledger: bool = False


@dataclass(slots=True)
class _Lease:
    """What a replica holds.

    Attributes:
        answered: it had heard that others wait, and kept this all the same.
        asked: it has heard it since.
    """

    amount: float
    used: float
    answered: bool
    asked: bool = False

    @property
    def unused(self) -> float:
        return self.amount - self.used


@dataclass(slots=True)
class _Need:
    amount: float
    told_at: float


@dataclass(slots=True)
class _Pool:
    """One limit, divided."""

    amount: float
    lasts_s: float
    leases: dict[str, _Lease] = field(default_factory=dict)
    needs: dict[str, _Need] = field(default_factory=dict)
    gone: list[_Gone] = field(default_factory=list)
    """What was used by replicas that are no more, each with the time until which it counts."""

    def answer(self, replica: str, demand: Demand, now: float) -> Grant:
        self.amount, self.lasts_s = demand.amount, demand.lasts_s
        self.gone = [gone for gone in self.gone if gone.replica != replica]  # it was only silent
        before = self.leases.get(replica)
        lease = self.leases[replica] = _Lease(demand.keep, demand.used, answered=before is not None and before.asked)
        free = self.free(now)
        added = self._added(replica, demand, free, now)
        others = [other for other in self.leases.values() if other is not lease]
        elsewhere = sum(other.unused for other in others)
        promised = sum(other.unused for other in others if not other.answered)
        lease.amount += added
        return Grant(added, max(0.0, free - added), elsewhere, promised, self.gone_amount(now))

    def _added(self, replica: str, demand: Demand, free: float, now: float) -> float:
        """Serve needs first come, first served, whole or not at all; only then wants, in equal parts."""
        self.needs = {name: need for name, need in self.needs.items() if now - need.told_at < _HUNGER_S}
        if demand.need > 0:
            need = self.needs.setdefault(replica, _Need(demand.need, now))
            need.amount, need.told_at = demand.need, now
            if free < demand.need + self._needed_before(replica):
                return 0.0
        self.needs.pop(replica, None)
        spare = free - demand.need - sum(need.amount for need in self.needs.values())
        extra = max(0.0, min(demand.want, spare / len(self.leases)))
        return demand.need + (math.floor(extra) if demand.whole else extra)

    def _needed_before(self, replica: str) -> float:
        total = 0.0
        for name, need in self.needs.items():
            if name == replica:
                break
            total += need.amount
        return total

    def free(self, now: float) -> float:
        return self.amount - sum(lease.amount for lease in self.leases.values()) - self.gone_amount(now)

    def gone_amount(self, now: float) -> float:
        self.gone = [gone for gone in self.gone if gone.until > now]
        return sum(gone.amount for gone in self.gone)

    def believe(self, gone: float, now: float) -> None:
        """Prefer what a replica remembers to what the ledger said, which counts living replicas' uses too."""
        if any(entry.from_ledger for entry in self.gone):
            self.gone = [entry for entry in self.gone if not entry.from_ledger]
            self.gone.append(_Gone(gone, now + self.lasts_s))

    def bury(self, replica: str, now: float) -> None:
        """Let the lease of a replica that is gone count for as long as its uses would."""
        self.needs.pop(replica, None)
        lease = self.leases.pop(replica, None)
        if lease is not None and self.lasts_s:
            self.gone.append(_Gone(lease.amount, now + self.lasts_s, replica))

    def is_empty(self, now: float) -> bool:
        return not any(lease.amount for lease in self.leases.values()) and not self.needs and not self.gone_amount(now)


_UNREAD = Grant(added=0.0, free=0.0, elsewhere=0.0, promised=1.0, gone=None)
"""Something may come yet, so whoever asks waits for it a little."""


@dataclass(slots=True)
class _Replica:
    seen_at: float
    sequence: int


class Coordinator:
    """Divides every limit that is in use; ``now`` is a monotonic clock's time in seconds."""

    def __init__(self) -> None:
        self._pools: dict[str, _Pool] = {}
        self._replicas: dict[str, _Replica] = {}
        self._hungry: set[str] = set()

    def report(self, report: Report, now: float, unread: Collection[str] = ()) -> Reply:
        """Take a replica's demands, and answer each.

        Args:
            report: the demands.
            now: seconds.
            unread: counters of which the ledger is still to say what was used: nothing is granted of them meanwhile.
        """
        self._bury_the_silent(now)
        known = self._replicas.get(report.replica)
        if known is not None and report.sequence <= known.sequence:
            return Reply({}, (), len(self._replicas))
        self._replicas[report.replica] = _Replica(now, report.sequence)
        grants = {
            demand.counter: _UNREAD if self._is_unread(demand, unread) else self._answer(report.replica, demand, now)
            for demand in report.demands
        }
        return Reply(grants, tuple(self._scarce_for(report.replica)), len(self._replicas), known is None)

    def unknown(self, demands: Iterable[Demand]) -> list[Demand]:
        """Return the demands of whose counters neither this coordinator nor the replica knows what is gone."""
        return [demand for demand in demands if demand.counter not in self._pools and demand.gone is None]

    def _is_unread(self, demand: Demand, unread: Collection[str]) -> bool:
        return demand.counter in unread and demand.counter not in self._pools and demand.gone is None

    def recover(self, demand: Demand, used: float, now: float) -> None:
        """Learn from the ledger what of a limit was used before this coordinator began."""
        if demand.counter not in self._pools:
            pool = self._pools[demand.counter] = _Pool(demand.amount, demand.lasts_s)
            pool.gone.append(_Gone(max(0.0, used - demand.keep), now + demand.lasts_s, from_ledger=True))

    def _answer(self, replica: str, demand: Demand, now: float) -> Grant:
        pool = self._pools.get(demand.counter)
        if pool is None:
            pool = self._pools[demand.counter] = _Pool(demand.amount, demand.lasts_s)
            pool.gone.append(_Gone(demand.gone or 0.0, now + demand.lasts_s))
        elif demand.gone is not None:
            pool.believe(demand.gone, now)
        grant = pool.answer(replica, demand, now)
        if pool.needs:
            self._hungry.add(demand.counter)
        else:
            self._hungry.discard(demand.counter)
        if pool.is_empty(now):
            del self._pools[demand.counter]
        return grant

    def _scarce_for(self, replica: str) -> Iterable[str]:
        for counter in self._hungry:
            pool = self._pools[counter]
            lease = pool.leases.get(replica)
            if lease is not None and lease.unused > 0 and pool.needs.keys() != {replica}:
                lease.asked = True
                yield counter

    def _bury_the_silent(self, now: float) -> None:
        silent = [name for name, replica in self._replicas.items() if now - replica.seen_at > SILENCE_S]
        for name in silent:
            del self._replicas[name]
            for pool in self._pools.values():
                pool.bury(name, now)
        if silent:
            self._pools = {counter: pool for counter, pool in self._pools.items() if not pool.is_empty(now)}
            self._hungry &= self._pools.keys()
