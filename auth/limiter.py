"""Admits requests within the limits of their key and project: in memory, within this replica's leases."""

import asyncio
import logging
import math
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import Protocol, Self

from auth.counter import Counter
from auth.counters import Bound, Counters
from auth.keys import Key
from auth.leases import SILENCE_S, Coordinator, Reply, Report
from auth.projects import Project
from auth.quota import Quota, quota_of
from auth.rejection import Rejected
from auth.reservation import Charge, Reservation
from auth.usage import FREE, Price, Usage

REPORT_S = 0.1
IDLE_REPORT_S = 1.0
"""How often a replica reports that counts nothing: to be known, and so that limits hold by shares when need be."""

_ANSWER_TIMEOUT_S = 0.5
_MARGIN_S = 1.0
_PAUSE_S = 0.05
_PATIENCE_S = 0.3
"""How long a request waits for room that other replicas hold, and may be about to use."""

LONG_PATIENCE_S = 2.0
"""How long while one of them, or the coordinator, has not been heard: a machine may be too busy to answer at once."""

_log = logging.getLogger(__name__)


class LeaseSource(Protocol):
    """Where leases come from: a coordinator, near or far."""

    async def report(self, report: Report) -> Reply:
        """Deliver a report; raise anything when the coordinator cannot be reached."""


class OwnLeases:
    """A coordinator of one's own, for a gateway of one replica."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._coordinator = Coordinator()
        self._clock = clock

    async def report(self, report: Report) -> Reply:
        """Answer at once."""
        return self._coordinator.report(report, self._clock())


class Limiter:
    """A gateway replica's limiter. Make one with ``open``; end it with ``close``.

    Attributes:
        degraded: why limits hold only approximately now; ``None`` while they are exact.
    """

    def __init__(
        self,
        source: LeaseSource,
        replica: str,
        clock: Callable[[], float] = time.monotonic,
        wall: Callable[[], float] = time.time,
        pause: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self.degraded: str | None = None
        self._source = source
        self._replica = replica
        self._clock = clock
        self._pause = pause
        self._counters = Counters(wall)
        self._replicas = 1
        self._sequence = 0
        self._answered_at = -math.inf
        self._unanswered_at = -math.inf
        self._asking = asyncio.Lock()
        self._reporting: asyncio.Task[None] | None = None

    @classmethod
    async def open(cls, source: LeaseSource, *, replica: str) -> Self:
        """Begin to report; ``replica`` is a name that no other replica has or had."""
        limiter = cls(source, replica)
        limiter._reporting = asyncio.create_task(limiter._keep_reporting(), name="limiter")
        return limiter

    async def close(self) -> None:
        """Stop reporting; the coordinator notices."""
        if self._reporting is not None:
            self._reporting.cancel()
            await asyncio.wait([self._reporting])

    def reserve(
        self,
        key: Key,
        project: Project,
        *,
        model: str,
        asked: str | None = None,
        estimate: Usage,
        price: Price = FREE,
    ) -> Reservation:
        """Return the claim of a request on its limits; entering it admits the request or raises ``Rejected``.

        Args:
            key: who asks.
            project: the owner of the key.
            model: the name of the model that may answer.
            asked: the name that the client used, where that is an alias; limits know it by either.
            estimate: the prompt's estimated tokens, and the most that the completion may have.
            price: the model's.
        """
        names = (model, asked) if asked and asked != model else (model,)
        counters = self._counters.find(_bounds(key, project), names, self._clock())
        return Reservation(counters, self._admit, self._clock, estimate=estimate, price=price)

    async def quotas(self, key: Key, project: Project) -> list[Quota]:
        """Return how every limit of the key and its project stands, after asking what other replicas have used."""
        asked_at = self._clock()
        counters = [counter for bound in _bounds(key, project) for counter in self._counters.of(bound, asked_at)]
        self._counters.note(counters, [0.0] * len(counters))
        async with self._asking:  # whoever waited here may have been answered by the report before
            if counters and self._answered_at < asked_at:
                await self.report()
        return [quota_of(counter, self._clock()) for counter in counters]

    async def report(self) -> None:
        """Tell the coordinator what this replica uses and needs, and take its answer."""
        self._sequence += 1
        asked_at = self._clock()
        if self._is_stale():
            self._counters.surrender(asked_at)
        demands = self._counters.demands(asked_at)
        try:
            async with asyncio.timeout(_ANSWER_TIMEOUT_S):
                reply = await self._source.report(Report(self._replica, self._sequence, demands))
        except Exception as error:  # whatever stands between: the limiter goes on without
            self._unanswered_at = self._clock()
            if not isinstance(error, TimeoutError) or self._unanswered_at - self._answered_at > LONG_PATIENCE_S:
                self._degrade(error)
            return
        self._counters.take(demands, reply, self._clock())
        if reply.introduce or self.degraded:
            self._counters.note_all()
        self._replicas = max(1, reply.replicas)
        self._answered_at = asked_at
        self._recover()

    async def _admit(self, counters: Sequence[Counter], amounts: Sequence[float]) -> list[Charge]:
        """Charge all of the counters, or none and raise ``Rejected``.

        What takes nothing of a limit is not refused by it: a budget of money that is used up, or overshot, lets free
        models go on.
        """
        if not counters:
            return []
        self._counters.note(counters, amounts)
        short = self._short(counters, amounts)
        hopeless = self.degraded or any(self._is_hopeless(*pair) for pair in short)
        if self._is_stale() or (short and not hopeless):
            with self._counters.blocked(counters, amounts):
                await self._supply(counters, amounts)
            short = self._short(counters, amounts)
        now = self._clock()
        if short:
            raise self._rejection(short, now)
        return [Charge.of(counter, amount, now) for counter, amount in zip(counters, amounts, strict=True)]

    def _short(self, counters: Sequence[Counter], amounts: Sequence[float]) -> list[tuple[Counter, float]]:
        now, share = self._clock(), 1 / self._replicas if self.degraded else 0.0
        pairs = zip(counters, amounts, strict=True)
        return [(counter, amount) for counter, amount in pairs if amount > max(0.0, counter.room(now, share))]

    async def _supply(self, counters: Sequence[Counter], amounts: Sequence[float]) -> None:
        """Get room from the coordinator, or else learn that there is none.

        What other replicas hold without using it comes back within moments: it is worth a short wait.
        """
        began_at = self._clock()
        while True:
            await self._ask(self._short(counters, amounts))
            short = self._short(counters, amounts)
            if not short or self.degraded or any(self._is_hopeless(*pair) for pair in short):
                return
            unheard = self._answered_at <= began_at or all(counter.promised > 0 for counter, _ in short)
            if self._clock() - began_at >= (LONG_PATIENCE_S if unheard else _PATIENCE_S):
                break
            await self._pause(_PAUSE_S)
        for counter, _ in short:
            counter.deny(self._clock())

    async def _ask(self, short: Sequence[tuple[Counter, float]]) -> None:
        asked_at = self._clock()
        async with self._asking:  # whoever waited here may have been answered by the report before
            now = self._clock()
            missing = any(amount > counter.room(now) and not counter.is_denied(now) for counter, amount in short)
            if (missing or self._is_stale()) and self._unanswered_at <= asked_at:
                await self.report()

    def _is_hopeless(self, counter: Counter, amount: float) -> bool:
        return amount > counter.limit.amount or counter.is_denied(self._clock())

    def _is_stale(self) -> bool:
        """Say whether the coordinator may take this replica for dead, and its leases for free, any moment."""
        return self._clock() - self._answered_at > SILENCE_S - _MARGIN_S

    async def _keep_reporting(self) -> None:
        while True:
            if not self._counters.are_wanted:
                await asyncio.sleep(REPORT_S)
            if self._counters.are_none and self._clock() - self._answered_at < IDLE_REPORT_S:
                continue
            async with self._asking:
                await self.report()

    def _rejection(self, short: Sequence[tuple[Counter, float]], now: float) -> Rejected:
        """Speak of the limit that will have no room for longest."""
        rejections = [Rejected(counter, asked=amount, now=now) for counter, amount in short]
        return max(
            rejections, key=lambda rejected: float("inf") if rejected.frees_in_s is None else rejected.frees_in_s
        )

    def _degrade(self, error: Exception) -> None:
        if self.degraded is None:
            self.degraded = (
                f"the lease coordinator does not answer ({type(error).__name__}): limits hold by equal shares"
            )
            _log.error("lease_coordinator_unreachable", extra={"error": type(error).__name__})

    def _recover(self) -> None:
        if self.degraded is not None:
            self.degraded = None
            _log.info("lease_coordinator_back")


def _bounds(key: Key, project: Project) -> tuple[Bound, Bound]:
    return Bound("key", key.id, key.limits), Bound("project", project.id, project.limits)
