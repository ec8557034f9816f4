"""Writes the ledger's batches: rows, their sums and the journal in one transaction, so that they always agree."""

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any

from sqlalchemy import Insert, bindparam, delete, insert, select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncConnection

from auth.ledger_row import LOST, LedgerRow
from auth.ledger_sums import add_up
from auth.ledger_tables import GatewayRow, InflightRow, RequestRow
from auth.open_request import OpenRequest
from auth.store import Store
from auth.upsert import insertion

_CHUNK = 500
_COLUMNS = tuple(field.name for field in fields(LedgerRow))


@dataclass(frozen=True, slots=True)
class Batch:
    """What a gateway replica has to say at one time.

    Attributes:
        gateway: the replica.
        rows: requests that are over.
        opened: requests that are open and not in the journal yet, or not as they stand, with their tokens so far.
        progressed: tokens so far of those in the journal that have some more, by id.
    """

    gateway: str
    rows: Sequence[LedgerRow]
    opened: Sequence[tuple[OpenRequest, int]]
    progressed: dict[str, int]


async def write(store: Store, batch: Batch) -> None:
    """Write a batch; writing it again changes nothing, as when the answer to the first commit was lost."""
    try:
        async with store.writing() as connection:
            await _write(connection, batch, batch.rows)
    except IntegrityError:
        async with store.writing() as connection:
            await _write(connection, batch, await unwritten(connection, batch.rows))


async def insert_rows(connection: AsyncConnection, rows: Sequence[LedgerRow]) -> None:
    """Insert rows, and add them to their sums."""
    if rows:
        await connection.execute(insert(RequestRow), [row.columns() for row in rows])
        await add_up(connection, rows, sign=1)


async def _write(connection: AsyncConnection, batch: Batch, rows: Sequence[LedgerRow]) -> None:
    await connection.execute(_beat(connection), {"id": batch.gateway, "beat": 1})
    await insert_rows(connection, rows)
    ids = [row.id for row in batch.rows]
    for start in range(0, len(ids), _CHUNK):
        await connection.execute(delete(InflightRow).where(InflightRow.id.in_(ids[start : start + _CHUNK])))
    if batch.opened:
        opened = [
            {"id": request.row.id, "gateway": batch.gateway, "row": request.dump(), "completion_tokens": tokens}
            for request, tokens in batch.opened
        ]
        await connection.execute(_journal(connection), opened)
    if batch.progressed:
        progressed = [{"of": row_id, "tokens": tokens} for row_id, tokens in batch.progressed.items()]
        tell = update(InflightRow).where(InflightRow.id == bindparam("of"))
        tell = tell.values(completion_tokens=bindparam("tokens"))
        await connection.execute(tell, progressed)


async def unwritten(connection: AsyncConnection, rows: Sequence[LedgerRow]) -> list[LedgerRow]:
    """Return the rows that the ledger lacks, one an id.

    Those that it took for lost, and those of runs that nobody answered, make place for the run that was.
    """
    rows = list({row.id: row for row in sorted(rows, key=lambda row: bool(row.model))}.values())
    written: set[str] = set()
    for start in range(0, len(rows), _CHUNK):
        ids = [row.id for row in rows[start : start + _CHUNK]]
        found = await connection.execute(select(RequestRow.__table__).where(RequestRow.id.in_(ids)))
        stored = [_row_of(row) for row in found.mappings()]
        lost = [row for row in stored if row.error_code == LOST or not row.model]
        await connection.execute(delete(RequestRow).where(RequestRow.id.in_([row.id for row in lost])))
        await add_up(connection, lost, sign=-1)
        written |= {row.id for row in stored} - {row.id for row in lost}
    return [row for row in rows if row.id not in written]


def _beat(connection: AsyncConnection) -> Insert:
    statement = insertion(connection, GatewayRow)
    return statement.on_conflict_do_update(index_elements=["id"], set_={"beat": GatewayRow.beat + 1})


def _journal(connection: AsyncConnection) -> Insert:
    statement = insertion(connection, InflightRow)
    newer = {name: statement.excluded[name] for name in ("row", "completion_tokens")}
    return statement.on_conflict_do_update(index_elements=["id"], set_=newer)


def _row_of(mapping: Any) -> LedgerRow:
    values = {name: mapping[name] for name in _COLUMNS}
    return LedgerRow(**values | {"metadata": None})
