"""The coordinator of leases as a Ray actor: one for all gateway replicas, restarted by Ray when it dies."""

import asyncio
import logging
import time
from typing import Any, Self

import ray

from auth.leases import Coordinator, Demand, Reply, Report
from auth.periods import named_period
from auth.recovery import used_by_all
from auth.store import Store

NAME = "raygate-leases"
NAMESPACE = "serve"
_PATIENCE_S = 0.3
"""How long a report waits for the ledger; replicas wait a little longer for its answer."""
_AGAIN_S = 1.0
_log = logging.getLogger(__name__)


class LeaseKeeper:
    """A coordinator that asks the ledger for what it cannot know."""

    def __init__(self, database_url: str) -> None:
        self._coordinator = Coordinator()
        self._store = Store(database_url)
        self._began_at = time.time()
        self._unread: dict[str, Demand] = {}
        self._reading: asyncio.Task[None] | None = None

    async def report(self, report: Report) -> Reply:
        """Answer a replica's report; see ``auth.leases``.

        What the ledger has not said in time is asked for until it has: a budget is not taken for unused meanwhile.
        """
        for demand in self._coordinator.unknown(report.demands):
            if self._is_new(demand.counter):
                self._coordinator.recover(demand, 0.0, time.monotonic())
            else:
                self._unread[demand.counter] = demand
        if self._unread:
            if self._reading is None or self._reading.done():
                self._reading = asyncio.create_task(self._read(), name="limits")
            await asyncio.wait([self._reading], timeout=_PATIENCE_S)
        return self._coordinator.report(report, time.monotonic(), [*filter(_is_budget, self._unread)])

    async def _read(self) -> None:
        """Learn what was used before, of all that is asked for, until everything is known."""
        while demands := list(self._unread.values()):
            try:
                used = await used_by_all(self._store, [demand.counter for demand in demands])
            except Exception as error:  # of whatever driver: the ledger does not answer
                _log.warning("limits_not_recovered", extra={"counters": len(demands), "error": type(error).__name__})
                await asyncio.sleep(_AGAIN_S)
                continue
            for demand in demands:
                self._coordinator.recover(demand, used[demand.counter], time.monotonic())
                del self._unread[demand.counter]

    def _is_new(self, counter: str) -> bool:
        """Say whether a counter's period began under this coordinator, which would know of any use."""
        return _is_budget(counter) and named_period(counter.split("|", 5)[4]).starts_at >= self._began_at


def _is_budget(counter: str) -> bool:
    """Say whether a limit of this id is a day's or a month's."""
    return counter.split("|", 5)[3] in ("day", "month")


class RayLeases:
    """The way to the coordinator, from a process that is connected to Ray. Make one with ``open``."""

    def __init__(self, actor: Any) -> None:
        self._actor = actor

    @classmethod
    async def open(cls, database_url: str) -> Self:
        """Find the actor, or start it, and wait until it runs; it opens the ledger's database by itself."""
        actor = await asyncio.to_thread(_find_or_start, database_url)
        await actor.__ray_ready__.remote()
        return cls(actor)

    async def report(self, report: Report) -> Reply:
        """Deliver a report.

        Raises:
            ray.exceptions.RayError: the actor is away; Ray brings it back, and the same handle reaches it then.
        """
        reply: Reply = await self._actor.report.remote(report)
        return reply


def _find_or_start(database_url: str) -> Any:
    actor_class = ray.remote(LeaseKeeper)
    return actor_class.options(
        name=NAME, namespace=NAMESPACE, lifetime="detached", get_if_exists=True, num_cpus=0, max_restarts=-1
    ).remote(database_url)
