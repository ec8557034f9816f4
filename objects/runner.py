"""Who runs the batches: one gateway replica at a time, and another one after its death.

The replica that holds the office writes only while it does: each of its transactions checks its term first, so one
that was thought dead and wakes up again cannot write a word. A replica is dead when the ledger's watch has buried it
(``auth.reaper``), that is when its heart has not beaten for ten seconds.
"""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from sqlalchemy import exists, or_, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from auth.ledger_tables import GatewayRow
from auth.store import Store
from objects.batch_tables import RunnerRow
from objects.errors import Deposed


@dataclass(frozen=True, slots=True)
class Office:
    """The right to run the batches, as long as nobody else has taken it."""

    store: Store
    gateway: str
    term: int

    @asynccontextmanager
    async def writing(self) -> AsyncGenerator[AsyncConnection]:
        """Yield a connection inside a transaction that nobody who holds the office later can overtake.

        Raises:
            Deposed: somebody else holds it.
        """
        async with self.store.writing() as connection:
            held = select(RunnerRow.term).where(RunnerRow.id == 1).with_for_update()
            if (await connection.execute(held)).scalar_one() != self.term:
                raise Deposed(self.gateway)
            yield connection

    @asynccontextmanager
    async def reading(self) -> AsyncGenerator[AsyncConnection]:
        """Yield a connection for reads that see one state of the database, in which the office is still held.

        Raises:
            Deposed: somebody else holds it.
        """
        async with self.store.reading() as connection:
            if (await connection.execute(select(RunnerRow.term))).scalar_one() != self.term:
                raise Deposed(self.gateway)
            yield connection


async def take_office(store: Store, gateway: str) -> Office | None:
    """Return the office if it is free: nobody has it, or nobody that lives; ``None`` if somebody does."""
    lives = exists().where(GatewayRow.id == gateway)
    is_free = or_(RunnerRow.gateway.is_(None), ~exists().where(GatewayRow.id == RunnerRow.gateway))
    take = update(RunnerRow).where(RunnerRow.id == 1, lives, is_free)
    take = take.values(gateway=gateway, term=RunnerRow.term + 1)
    async with store.writing() as connection:
        term = (await connection.execute(take.returning(RunnerRow.term))).scalar_one_or_none()
    return None if term is None else Office(store, gateway, term)


async def leave_office(office: Office) -> None:
    """Let somebody else take the office at once."""
    leave = update(RunnerRow).where(RunnerRow.term == office.term).values(gateway=None)
    async with office.store.writing() as connection:
        await connection.execute(leave)
