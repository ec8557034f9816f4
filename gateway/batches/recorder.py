"""Writes what lines have come to: the ledger's rows first, then the results, then nothing is forgotten.

A kill between the two makes a line run again under the same id of the ledger, which keeps one row an id: the line is
charged once. A kill after both costs nothing. So every line is charged once, and its result is stored once.
"""

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Awaitable, Callable
from typing import TypeVar

import structlog
from sqlalchemy.exc import SQLAlchemyError

from auth.ledger import Ledger
from objects.batch_progress import Result, store_results
from objects.batches import Batch
from objects.runner import Office

WRITE_S = 0.2
"""Results are written in groups, as often as this."""

_RETRY_S = 1.0
_HELD_RESULTS = 256
"""More are not held back while the database is away: lines wait."""

_Result = TypeVar("_Result")

log = structlog.get_logger("raygate.batches")


class Recorder:
    """Takes the results of one batch. ``recording`` makes one, and writes the last of them at its end."""

    def __init__(self, office: Office, ledger: Ledger, batch: Batch) -> None:
        self._office = office
        self._ledger = ledger
        self._batch = batch
        self._held: list[Result] = []
        self._has_room = asyncio.Event()
        self._has_room.set()

    async def take(self, result: Result) -> None:
        """Take a result; waits while too many are held."""
        await self._has_room.wait()
        self._held.append(result)
        if len(self._held) >= _HELD_RESULTS:
            self._has_room.clear()

    async def write(self) -> None:
        """Write what there is now.

        Raises:
            Deposed: another gateway replica runs the batches.
        """
        results = list(self._held)
        if results:
            await patiently(self._ledger.flush_all)
            await patiently(lambda: store_results(self._office, self._batch, results))
            del self._held[: len(results)]
            self._has_room.set()

    async def keep_writing(self, until: asyncio.Event) -> None:
        """Write now and then, and everything at the end."""
        while not until.is_set():
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(WRITE_S):
                    await until.wait()
            await self.write()
        await self.write()  # what came during the last one


@contextlib.asynccontextmanager
async def recording(office: Office, ledger: Ledger, batch: Batch) -> AsyncGenerator[Recorder, None]:
    """Yield a recorder that writes in a task of its own, and writes everything at the end.

    Raises:
        Deposed: another gateway replica runs the batches; in an exception group, as whatever else goes wrong.
    """
    recorder, over = Recorder(office, ledger, batch), asyncio.Event()
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(recorder.keep_writing(over), name="batch-recorder")
        yield recorder
        over.set()


async def patiently(write: Callable[[], Awaitable[_Result]]) -> _Result:
    """Do something with the database, again and again while it does not answer."""
    while True:
        try:
            return await write()
        except (SQLAlchemyError, OSError) as error:
            log.warning("batches wait for the database", error=type(error).__name__)
            await asyncio.sleep(_RETRY_S)
