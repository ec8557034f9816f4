"""Requests that were not let in, counted: who asked for what, why not, and in which minute.

A row of the ledger each would let whoever is refused fill the database as fast as they can ask. A counter costs one row
a minute, however often they do. What is promised is what the ledger promises of its rows: ``count`` never waits,
``close`` writes everything, a count that is written again changes nothing, and the sums of the hours agree.
"""

import asyncio
import contextlib
import logging
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Self

from sqlalchemy import Insert, select
from sqlalchemy.ext.asyncio import AsyncConnection

from auth.ledger_row import new_id
from auth.ledger_sums import add_refused
from auth.ledger_tables import RefusalRow
from auth.store import Store
from auth.upsert import insertion

FLUSH_S = 1.0
MAX_COUNTERS = 10_000
"""Counters of one gateway replica at a time: those of this minute, and of those before that are not written yet."""

_PAGE = 500
_CLOSE_TIMEOUT_S = 5.0
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Refusal:
    """What is counted together.

    Attributes:
        key_id, project_id: who asked.
        model_asked: a name that the configuration has, or what stands for all others: never a text from a client.
        status, error_code: what was answered; 499 for a client that left before it was let in.
    """

    key_id: str
    project_id: str
    model_asked: str
    status: int
    error_code: str


@dataclass(slots=True)
class _Count:
    """How often, in one minute; ``id`` is its row's."""

    id: str
    minute: int
    refusal: Refusal
    count: int = 0
    written: int = 0


class Refusals:
    """Counts. Make one with ``open``; end it with ``close``.

    Attributes:
        dropped: refusals that were not counted, because too many counters waited for the database.
        degraded: why they wait; ``None`` while they are written.
    """

    def __init__(self, store: Store, clock: Callable[[], float] = time.time) -> None:
        self.dropped = 0
        self.degraded: str | None = None
        self._store = store
        self._clock = clock
        self._counts: dict[tuple[int, Refusal], _Count] = {}
        self._one_flush = asyncio.Lock()
        self._closing = asyncio.Event()
        self._writing: asyncio.Task[None] | None = None

    @classmethod
    async def open(cls, store: Store) -> Self:
        """Begin to write."""
        refusals = cls(store)
        refusals._writing = asyncio.create_task(refusals._keep_writing(), name="refusals")
        return refusals

    async def close(self) -> None:
        """Write every count."""
        self._closing.set()
        if self._writing is not None:
            await asyncio.wait([self._writing])

    def count(self, refusal: Refusal) -> None:
        """Take one more. Never waits, never raises."""
        minute = int(self._clock() // 60)
        found = self._counts.get((minute, refusal))
        if found is None:
            if len(self._counts) >= MAX_COUNTERS:
                self.dropped += 1
                return
            found = self._counts[minute, refusal] = _Count(new_id(), minute, refusal)
        found.count += 1

    async def flush(self) -> None:
        """Write what there is now.

        Raises:
            Exception: as the database's driver does; nothing is lost by it.
        """
        async with self._one_flush:
            due = [(each, each.count) for each in self._counts.values() if each.count > each.written]
            for start in range(0, len(due), _PAGE):
                page = due[start : start + _PAGE]
                await _write(self._store, page)
                for each, count in page:
                    each.written = count
            now = int(self._clock() // 60)
            self._counts = {
                place: each for place, each in self._counts.items() if each.minute == now or each.count > each.written
            }

    async def _keep_writing(self) -> None:
        while not self._closing.is_set():
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(FLUSH_S):
                    await self._closing.wait()
            try:
                await self.flush()
            except Exception as error:  # any failure of any driver: counts wait
                self._degrade(error)
            else:
                self.degraded = None
        await self._write_the_rest()

    async def _write_the_rest(self) -> None:
        try:
            async with asyncio.timeout(_CLOSE_TIMEOUT_S):
                await self.flush()
        except Exception as error:
            _log.error("refusals_lost", extra={"counters": len(self._counts), "error": type(error).__name__})

    def _degrade(self, error: Exception) -> None:
        if self.degraded is None:
            self.degraded = f"refused requests cannot be counted ({type(error).__name__}): their sums wait in memory"
            _log.error("refusals_unwritten", extra={"error": type(error).__name__})


async def _write(store: Store, counts: Sequence[tuple[_Count, int]]) -> None:
    """Bring the rows to these counts, and the hours with them; both know already what was written before."""
    async with store.writing() as connection:
        ids = [each.id for each, _ in counts]
        query = select(RefusalRow.id, RefusalRow.count).where(RefusalRow.id.in_(ids))
        known = dict((await connection.execute(query)).all())
        rows = [
            {"id": each.id, "minute": each.minute, "count": count, **asdict(each.refusal)} for each, count in counts
        ]
        await connection.execute(_newer(connection), rows)
        added: Counter[tuple[int, str, str]] = Counter()
        for each, count in counts:
            group = each.minute // 60, each.refusal.project_id, each.refusal.key_id
            added[group] += count - known.get(each.id, 0)
        await add_refused(connection, added)


def _newer(connection: AsyncConnection) -> Insert:
    statement = insertion(connection, RefusalRow)
    return statement.on_conflict_do_update(index_elements=["id"], set_={"count": statement.excluded["count"]})
