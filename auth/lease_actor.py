"""The coordinator of leases as a Ray actor: one for all gateway replicas, restarted by Ray when it dies."""

import asyncio
import logging
import time
from collections.abc import Sequence
from typing import Any, Self

import ray

from auth.leases import Coordinator, Demand, Reply, Report
from auth.recovery import used_so_far
from auth.store import Store

NAME = "raygate-leases"
NAMESPACE = "serve"
_RECOVERY_TIMEOUT_S = 0.3
_log = logging.getLogger(__name__)


class LeaseKeeper:
    """A coordinator that asks the ledger for what it cannot know."""

    def __init__(self, database_url: str) -> None:
        self._coordinator = Coordinator()
        self._store = Store(database_url)

    async def report(self, report: Report) -> Reply:
        """Answer a replica's report; see ``auth.leases``."""
        unknown = self._coordinator.unknown(report.demands)
        if unknown:
            await self._recover(unknown)
        return self._coordinator.report(report, time.monotonic())

    async def _recover(self, demands: Sequence[Demand]) -> None:
        """Learn what was used before; where the ledger cannot say in time, begin with nothing."""
        try:
            async with asyncio.timeout(_RECOVERY_TIMEOUT_S):
                for demand in demands:
                    used = await used_so_far(self._store, demand.counter)
                    self._coordinator.recover(demand, used, time.monotonic())
        except Exception as error:
            _log.warning("limits_not_recovered", extra={"counters": len(demands), "error": type(error).__name__})


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
