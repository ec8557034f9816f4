"""Runs every batch of the cluster, in one gateway replica at a time."""

import asyncio
import contextlib
import time
from collections.abc import AsyncGenerator, Mapping

import structlog
from sqlalchemy.exc import SQLAlchemyError

from engines.base import Load, application_name
from gateway.batches.batch import Run, run_batch
from gateway.batches.idleness import Lanes
from gateway.request.services import Services
from objects.batches import Batch, active_batches
from objects.errors import Deposed
from objects.runner import Office, leave_office, take_office

TAKE_S = 2.0
"""How often a replica asks whether the office is free."""

LOOK_S = 0.5
"""How soon whoever holds it finds a new batch, or one that is to be cancelled."""

SWEEP_S = 60.0

SIDE_BY_SIDE = 32
"""Batches that run at a time; later ones wait for the end of these."""

_AGAIN_S = 5.0
"""After so long a batch that broke off is taken up again."""

log = structlog.get_logger("raygate.batches")


@contextlib.asynccontextmanager
async def batches_run(services: Services, gateway: str) -> AsyncGenerator[None, None]:
    """Run batches as long as it is open, whenever no other replica does.

    Args:
        services: what requests pass through.
        gateway: this replica's id, by which the ledger's watch knows it.
    """
    running = asyncio.create_task(_keep_running(services, gateway), name="batches")
    try:
        yield
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)


async def _keep_running(services: Services, gateway: str) -> None:
    while True:
        try:
            if office := await take_office(services.access.store, gateway):
                log.info("batches run here", term=office.term)
                await _hold(services, office)
        except Deposed:
            log.warning("batches run elsewhere")
        except Exception as error:  # whatever it was, batches go on
            log.exception("batches broke off", error=type(error).__name__)
        await asyncio.sleep(TAKE_S)


async def _hold(services: Services, office: Office) -> None:
    """Run the batches until another replica does, or this one ends."""

    async def loads(model: str) -> Mapping[str, Load]:
        loads = await services.replicas.loads(application_name(model))
        return {replica: load for replica, load in loads.items() if load}

    lanes = Lanes(services.settings.batches, services.traffic, loads)
    desk = _Desk(Run(services, office, lanes))
    try:
        async with lanes.watched():
            await desk.keep()
    finally:
        await desk.clear()
        try:
            await asyncio.shield(leave_office(office))
        except (SQLAlchemyError, OSError) as error:  # it is free once this replica is known to be dead
            log.warning("batches could not be given up", error=type(error).__name__)


class _Desk:
    """The batches that are being run."""

    def __init__(self, run: Run) -> None:
        self._run = run
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._cancelled: dict[str, asyncio.Event] = {}
        self._not_before: dict[str, float] = {}
        self._swept_at = -SWEEP_S

    async def keep(self) -> None:
        """Take up whatever is to be run.

        Raises:
            Deposed: another replica runs the batches.
        """
        while True:
            try:
                await self._look()
            except (SQLAlchemyError, OSError) as error:  # what runs goes on, and waits with its results
                log.warning("batches wait for the database", error=type(error).__name__)
            await asyncio.sleep(LOOK_S)

    async def clear(self) -> None:
        """Break everything off."""
        for task in self._tasks.values():
            task.cancel()
        await asyncio.gather(*self._tasks.values(), return_exceptions=True)

    async def _look(self) -> None:
        async with self._run.office.reading() as connection:
            active = await active_batches(connection, SIDE_BY_SIDE)
        for batch in active:
            self._take_up(batch)
        if time.monotonic() - self._swept_at >= SWEEP_S:
            self._swept_at = time.monotonic()
            await self._run.services.files.sweep()

    def _take_up(self, batch: Batch) -> None:
        if batch.id in self._tasks:
            if batch.status == "cancelling":
                self._cancelled[batch.id].set()
        elif time.monotonic() >= self._not_before.get(batch.id, 0):
            cancelled = self._cancelled[batch.id] = asyncio.Event()
            self._tasks[batch.id] = asyncio.create_task(self._bring_to_its_end(batch, cancelled), name=batch.id)

    async def _bring_to_its_end(self, batch: Batch, cancelled: asyncio.Event) -> None:
        try:
            await run_batch(self._run, batch, cancelled)
            self._not_before.pop(batch.id, None)
        except Exception as error:  # a batch that breaks off is taken up again, and no other minds
            log.exception("batch broke off", batch=batch.id, error=type(error).__name__)
            self._not_before[batch.id] = time.monotonic() + _AGAIN_S
        finally:
            del self._tasks[batch.id], self._cancelled[batch.id]
