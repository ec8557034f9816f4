"""Finds gateway replicas that have died, and records what they had open as ``lost``."""

import time

from sqlalchemy import delete, select

from auth.ledger_tables import GatewayRow, InflightRow
from auth.ledger_write import insert_rows, unwritten
from auth.open_request import OpenRequest
from auth.store import Store

SILENT_FOR_S = 10.0
"""A replica whose beat has not moved for so long is dead."""
_LOOK_EVERY_S = 2.0


class Reaper:
    """Watches the other replicas' beats, by this replica's monotonic clock: no clocks are compared."""

    def __init__(self, store: Store, gateway: str, silent_for_s: float = SILENT_FOR_S) -> None:
        self._store = store
        self._gateway = gateway
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
        async with self._store.writing() as connection:
            dead = delete(GatewayRow).where(GatewayRow.id == gateway, GatewayRow.beat == beat)
            if (await connection.execute(dead)).rowcount != 1:
                return
            columns = (InflightRow.row, InflightRow.completion_tokens)
            journal = await connection.execute(select(*columns).where(InflightRow.gateway == gateway))
            lost = [OpenRequest.load(text).lost(tokens) for text, tokens in journal]
            # A batch's line may have been taken over, and have its row, before its former gateway was given up.
            await insert_rows(connection, await unwritten(connection, lost))
            await connection.execute(delete(InflightRow).where(InflightRow.gateway == gateway))
