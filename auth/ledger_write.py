"""Writes the ledger's batches: rows, their sums and the journal in one transaction, so that they always agree."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields
from typing import Any

from sqlalchemy import Insert, bindparam, delete, insert, select, update
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncConnection

from auth.ledger_row import LOST, LedgerRow
from auth.ledger_tables import GatewayRow, InflightRow, RequestRow, UsageHourRow
from auth.open_request import OpenRequest
from auth.store import Store
from auth.tables import Base

_CHUNK = 500
_DIMENSIONS = ("hour", "project_id", "key_id", "model")
_SUMS = ("requests", "errors", "prompt_tokens", "cached_tokens", "completion_tokens", "cost")
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
    """Insert rows, and add them to their hours."""
    if rows:
        await connection.execute(insert(RequestRow), [row.columns() for row in rows])
        await _add_to_hours(connection, rows, sign=1)


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
        await _add_to_hours(connection, lost, sign=-1)
        written |= {row.id for row in stored} - {row.id for row in lost}
    return [row for row in rows if row.id not in written]


async def _add_to_hours(connection: AsyncConnection, rows: Iterable[LedgerRow], *, sign: int) -> None:
    hours: dict[tuple[Any, ...], list[float]] = {}
    for row in rows:
        of_row = (1, row.status >= 400 or row.status == 0, row.prompt_tokens, row.cached_tokens, row.completion_tokens)
        sums = hours.setdefault((row.hour, *row.dimensions()), [0] * len(_SUMS))
        for place, amount in enumerate((*of_row, row.cost)):
            sums[place] += sign * amount
    if hours:
        values = [
            dict(zip(_DIMENSIONS, group, strict=True)) | dict(zip(_SUMS, hours[group], strict=True))
            for group in sorted(hours)  # always in one order: two replicas that lock the same rows must not cross
        ]
        await connection.execute(_add_up(connection), values)


def merged(connection: AsyncConnection, table: type[Base]) -> Insert:
    """Return an insertion that leaves a row alone that is there already."""
    return _insertion(connection, table).on_conflict_do_nothing()


def _beat(connection: AsyncConnection) -> Insert:
    insertion = _insertion(connection, GatewayRow)
    return insertion.on_conflict_do_update(index_elements=["id"], set_={"beat": GatewayRow.beat + 1})


def _journal(connection: AsyncConnection) -> Insert:
    insertion = _insertion(connection, InflightRow)
    newer = {name: insertion.excluded[name] for name in ("row", "completion_tokens")}
    return insertion.on_conflict_do_update(index_elements=["id"], set_=newer)


def _add_up(connection: AsyncConnection) -> Insert:
    insertion = _insertion(connection, UsageHourRow)
    added = {name: getattr(UsageHourRow, name) + insertion.excluded[name] for name in _SUMS}
    return insertion.on_conflict_do_update(index_elements=list(_DIMENSIONS), set_=added)


def _insertion(connection: AsyncConnection, table: type[Base]) -> sqlite.Insert | postgresql.Insert:
    return sqlite.insert(table) if connection.dialect.name == "sqlite" else postgresql.insert(table)


def _row_of(mapping: Any) -> LedgerRow:
    values = {name: mapping[name] for name in _COLUMNS}
    return LedgerRow(**values | {"metadata": None})
