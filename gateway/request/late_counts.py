"""Counts that come after their request: of what a client left, or a stream that broke, the engine is asked."""

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Callable

from auth.ledger_row import LedgerRow
from auth.usage import Usage
from engines.base import application_name
from gateway.routing.replicas import Replicas

Then = Callable[[Usage | None], None]
"""Takes the engine's count, or ``None`` when that cannot be known."""


@contextlib.asynccontextmanager
async def open_late_counts(replicas: Replicas) -> AsyncGenerator["LateCounts", None]:
    """Yield the way to late counts; leaving waits for those that are on their way, for ``COUNT_S`` at most."""
    counts = LateCounts(replicas)
    try:
        yield counts
    finally:
        await counts.wait()


class LateCounts:
    """Asks engines behind the backs of requests that are over."""

    def __init__(self, replicas: Replicas) -> None:
        self._replicas = replicas
        self._asking: set[asyncio.Task[None]] = set()

    def ask(self, row: LedgerRow, then: Then) -> None:
        """Ask the replica in ``row`` what the request has used; ``then`` is called once, whatever comes of it."""
        task = asyncio.create_task(self._ask(row, then), name="late-count")
        self._asking.add(task)
        task.add_done_callback(self._asking.discard)

    async def wait(self) -> None:
        """Wait until everybody who asked knows."""
        await asyncio.gather(*self._asking, return_exceptions=True)

    async def _ask(self, row: LedgerRow, then: Then) -> None:
        counted = None
        try:
            counted = await count_of(self._replicas, row)
        finally:
            then(counted)


async def count_of(replicas: Replicas, row: LedgerRow) -> Usage | None:
    """Return what the request of a ledger row has used by its engine's count; ``None`` when that cannot be known."""
    if not row.replica:
        return None
    return await replicas.used(application_name(row.model), row.replica, row.id)
