"""Finds gateway replicas that have died, and records what they had open as ``lost``."""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable

from sqlalchemy import delete, select

from auth.ledger_row import LedgerRow
from auth.ledger_tables import GatewayRow, InflightRow
from auth.ledger_write import insert_rows, unwritten
from auth.open_request import OpenRequest
from auth.store import Store
from auth.usage import Usage

_log = logging.getLogger(__name__)

SILENT_FOR_S = 10.0
"""A replica whose beat has not moved for so long is dead."""
_LOOK_EVERY_S = 2.0

CountOf = Callable[[LedgerRow], Awaitable[Usage | None]]
"""Asks the engine that had a request what it has used; ``None`` when that cannot be known."""


async def nobody_counts(row: LedgerRow) -> None:
    """Ask no engine: what the journal says stands."""


class Reaper:
    """Watches the other replicas' beats, by this replica's monotonic clock: no clocks are compared."""

    def __init__(
        self, store: Store, gateway: str, count_of: CountOf = nobody_counts, silent_for_s: float = SILENT_FOR_S
    ) -> None:
        self._store = store
        self._gateway = gateway
        self._count_of = count_of
        self._silent_for_s = silent_for_s
        self._beats: dict[str, tuple[int, float]] = {}
        self._looked_at = 0.0

    async def look(self) -> None:
        """Record what the dead had open; does nothing when called again too soon."""
        now = time.monotonic()
        if now - self._looked_at < min(_LOOK_EVERY_S, self._silent_for_s):
            return
        self._looked_at = now
        async with self._store.reading() as connection:
            rows = (await connection.execute(select(GatewayRow.id, GatewayRow.beat))).all()
        known = self._beats
        self._beats = {
            gateway: known[gateway] if known.get(gateway, (None,))[0] == beat else (beat, now) for gateway, beat in rows
        }
        for gateway, (beat, since) in self._beats.items():
            if gateway != self._gateway and now - since >= self._silent_for_s:
                await self._bury(gateway, beat)

    async def say_goodbye(self) -> None:
        """Let nobody wait for this replica; what it has open still is lost."""
        async with self._store.reading() as connection:
            own = select(GatewayRow.beat).where(GatewayRow.id == self._gateway)
            beat = (await connection.execute(own)).scalar_one_or_none()
        if beat is not None:
            await self._bury(self._gateway, beat)

    async def _bury(self, gateway: str, beat: int) -> None:
        """Record what the replica had open, unless it moves after all or another replica was first."""
        found = await asyncio.gather(*(self._lost(*entry) for entry in await self._journal(gateway)))
        lost = [row for row in found if row is not None]
        async with self._store.writing() as connection:
            dead = delete(GatewayRow).where(GatewayRow.id == gateway, GatewayRow.beat == beat)
            if (await connection.execute(dead)).rowcount != 1:
                return
            # A batch's line may have been taken over, and have its row, before its former gateway was given up.
            await insert_rows(connection, await unwritten(connection, lost))
            await connection.execute(delete(InflightRow).where(InflightRow.gateway == gateway))

    async def _journal(self, gateway: str) -> list[tuple[str, int]]:
        columns = (InflightRow.row, InflightRow.completion_tokens)
        async with self._store.reading() as connection:
            entries = await connection.execute(select(*columns).where(InflightRow.gateway == gateway))
            return [(text, tokens) for text, tokens in entries]

    async def _lost(self, text: str, completion_tokens: int) -> LedgerRow | None:
        """Return the row of a request by its engine's count, or else by its prompt and its tokens so far.

        One that cannot be read, as after a change of its form, is logged, and keeps no other from being found.
        """
        try:
            request = OpenRequest.load(text)
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            _log.error("journal_entry_unreadable", extra={"error": type(error).__name__})
            return None
        try:
            counted = await self._count_of(request.row)
        except Exception as error:  # whatever stands between us and its engine
            _log.warning("count_not_known", extra={"row": request.row.id, "error": type(error).__name__})
            counted = None
        return request.lost(counted, completion_tokens)
