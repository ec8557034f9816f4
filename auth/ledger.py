"""The ledger of a gateway replica: every request becomes a row, written behind the requests' backs.

What is promised:

* ``record`` never waits. Rows are written within ``FLUSH_S`` while the database answers, and held back while it
  does not, up to ``MAX_HELD_ROWS``; then new ones are dropped and counted in ``dropped``. A row that the database
  refuses is set aside, and keeps no other waiting.
* ``close`` writes everything, or keeps on disk what the database does not take; the next ledger of the same home to
  open brings it in.
* A request that is open for longer than ``JOURNAL_S`` is in the journal, with its tokens so far. When the replica
  dies, another one (or the next to start) finds that its heart beats no more and records what was open as ``lost``.
  So a kill costs at most the rows of one second, and the tokens of one second of every stream.
"""

import asyncio
import logging
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Self

from auth.late_rows import LateRows
from auth.ledger_row import LedgerRow
from auth.ledger_write import Batch, write
from auth.open_request import OpenRequest
from auth.reaper import CountOf, Reaper, nobody_counts
from auth.refused_rows import write_what_fits
from auth.store import Store
from auth.usage import FREE, UNBOUNDED, Price, Usage

FLUSH_S = 0.25
JOURNAL_S = 0.5
MAX_HELD_ROWS = 100_000

_BATCH_ROWS = 5_000
_RETRY_S = 1.0
_CLOSE_TIMEOUT_S = 4.0
"""For what is left at the end; whoever stops a cluster waits for 8 s, and what the database has not taken by then must
be on disk."""
_log = logging.getLogger(__name__)


@dataclass(slots=True)
class _Open:
    request: OpenRequest
    tokens: Callable[[], int] = int  # none, until it streams
    journaled_tokens: int | None = None


class Ledger:
    """Takes rows. Make one with ``open``; end it with ``close``.

    Attributes:
        dropped: rows that were lost because the database was away for too long.
        set_aside: rows that the database has refused, or that could not be read; the table ``refused_rows`` has them.
        degraded: why rows are held back; ``None`` while they are written.
    """

    def __init__(
        self, store: Store, gateway: str, count_of: CountOf = nobody_counts, late_rows: LateRows | None = None
    ) -> None:
        self.dropped = 0
        self.set_aside = 0
        self.degraded: str | None = None
        self._store = store
        self._gateway = gateway
        self._late_rows = late_rows
        self._rows: deque[LedgerRow] = deque()
        self._open: dict[str, _Open] = {}
        self._reaper = Reaper(store, gateway, count_of)
        self._journaled_at = 0.0
        self._one_flush = asyncio.Lock()
        self._closing = asyncio.Event()
        self._writing: asyncio.Task[None] | None = None

    @classmethod
    async def open(
        cls,
        store: Store,
        *,
        gateway: str,
        count_of: CountOf = nobody_counts,
        late_rows: LateRows | None = None,
    ) -> Self:
        """Begin to write: first what earlier stops have left, since limits are recovered from the ledger.

        Args:
            store: the database.
            gateway: a name that no other replica has or had.
            count_of: asks engines for the counts of requests whose replica has died.
            late_rows: where rows are kept that the database does not take at the end; without it, they are lost.
        """
        ledger = cls(store, gateway, count_of, late_rows)
        try:
            await ledger._take_up_late_rows()
        except Exception as error:  # as in ``_keep_writing``, which goes on with them
            ledger._degrade(error)
        ledger._writing = asyncio.create_task(ledger._keep_writing(), name="ledger")
        return ledger

    async def close(self) -> None:
        """Write every row, and say goodbye; requests that are open still become ``lost`` when they are found."""
        self._closing.set()
        if self._writing is not None:
            await asyncio.wait([self._writing])

    @property
    def held_rows(self) -> int:
        """How many rows wait to be written."""
        return len(self._rows)

    def begin(self, row: LedgerRow, price: Price = FREE, most: Usage = UNBOUNDED) -> None:
        """Note that a request is open, or that more is known of one that is.

        The row may still change; the journal has it as it is when it is written. If the replica dies, its tokens cost
        ``price``: that of the model which answers, or may. What that model's engine then says is believed up to
        ``most``.
        """
        self._open[row.id] = _Open(OpenRequest(row, price, most))

    def follow(self, row_id: str, tokens: Callable[[], int]) -> None:
        """Ask ``tokens``, as often as the journal is written, how many completion tokens an open request has had."""
        self._open[row_id].tokens = tokens

    def record(self, row: LedgerRow) -> None:
        """Take the final row of a request, begun or not. Never waits, never raises."""
        self._open.pop(row.id, None)
        if len(self._rows) >= MAX_HELD_ROWS:
            self.dropped += 1
        else:
            self._rows.append(row)

    async def flush_all(self) -> None:
        """Write every row that there is now.

        Raises:
            Exception: as ``flush``.
        """
        for _ in range(-(-len(self._rows) // _BATCH_ROWS)):
            await self.flush()

    async def flush(self) -> None:
        """Write what there is now.

        Raises:
            Exception: as the database's driver does; nothing is lost by it.
        """
        async with self._one_flush:
            journal_is_due = time.monotonic() - self._journaled_at >= JOURNAL_S
            rows = [self._rows[place] for place in range(min(_BATCH_ROWS, len(self._rows)))]
            told = self._to_journal() if journal_is_due else []
            if rows or journal_is_due:
                await self._write(rows, told)
            for _ in rows:
                self._rows.popleft()
            for entry, tokens in told:
                entry.journaled_tokens = tokens
            if journal_is_due:
                self._journaled_at = time.monotonic()

    async def _write(self, rows: list[LedgerRow], told: list[tuple["_Open", int]]) -> None:
        try:
            await write(self._store, _batch(self._gateway, rows, told))
        except Exception:  # of whatever driver: the database is away, or does not take one of these
            self.set_aside += await write_what_fits(self._store, self._gateway, rows)
            await self._write_journal(told)

    async def _write_journal(self, told: list[tuple["_Open", int]]) -> None:
        """Tell the journal of each open request alone; one that it refuses is not in it if this process dies."""
        for entry in told:
            try:
                await write(self._store, _batch(self._gateway, [], [entry]))
            except Exception as error:
                await write(self._store, _batch(self._gateway, [], []))  # it answers, or all of them wait
                _log.error("journal_entry_refused", extra={"error": type(error).__name__})

    def _to_journal(self) -> list[tuple[_Open, int]]:
        """Return the open requests of which the journal does not know, or not the newest tokens."""
        counted = [(entry, entry.tokens()) for entry in self._open.values()]
        return [(entry, tokens) for entry, tokens in counted if entry.journaled_tokens != tokens]

    async def _keep_writing(self) -> None:
        while not self._closing.is_set():
            await self._pause(_RETRY_S if self.degraded else FLUSH_S)
            try:
                await self.flush()
                await self._reaper.look()
                await self._take_up_late_rows()
            except Exception as error:  # any failure of any driver: rows wait
                self._degrade(error)
            else:
                self._recover()
        await self._write_the_rest()

    async def _take_up_late_rows(self) -> None:
        if self._late_rows:
            self.set_aside += await self._late_rows.take_up(self._store, self._gateway)

    async def _pause(self, seconds: float) -> None:
        if len(self._rows) >= _BATCH_ROWS and not self.degraded:
            return
        try:
            async with asyncio.timeout(seconds):
                await self._closing.wait()
        except TimeoutError:
            pass

    async def _write_the_rest(self) -> None:
        try:
            async with asyncio.timeout(_CLOSE_TIMEOUT_S):
                while self._rows:
                    await self.flush()
                await self._reaper.say_goodbye()
        except Exception as error:
            self._keep_the_rest(error)

    def _keep_the_rest(self, error: Exception) -> None:
        kept = 0
        try:
            if self._late_rows and self._rows:
                kept = self._late_rows.keep(self._rows)
        except OSError as on_disk:
            error = on_disk
        if kept:
            _log.warning("ledger_rows_wait_on_disk", extra={"rows": kept, "error": type(error).__name__})
        if lost := len(self._rows) - kept:
            _log.error("ledger_rows_lost", extra={"rows": lost, "error": type(error).__name__})
        self._rows.clear()

    def _degrade(self, error: Exception) -> None:
        if self.degraded is None:
            self.degraded = f"the ledger cannot be written ({type(error).__name__}): its rows wait in memory"
            _log.error("ledger_unreachable", extra={"error": type(error).__name__})

    def _recover(self) -> None:
        if self.degraded is not None:
            self.degraded = None
            _log.info("ledger_back", extra={"dropped": self.dropped})


def _batch(gateway: str, rows: list[LedgerRow], told: list[tuple[_Open, int]]) -> Batch:
    opened = [(entry.request, tokens) for entry, tokens in told if entry.journaled_tokens is None]
    progressed = {entry.request.row.id: tokens for entry, tokens in told if entry.journaled_tokens is not None}
    return Batch(gateway, rows, opened, progressed)
