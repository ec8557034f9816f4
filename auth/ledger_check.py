"""Looks whether the ledger agrees with itself, and reads it out."""

from collections.abc import AsyncGenerator
from typing import Any

from sqlalchemy import func, select

from auth.ledger_row import id_floor
from auth.ledger_tables import RefusalRow, RequestRow, UsageHourRow
from auth.store import Store

COLUMNS = tuple(column.name for column in RequestRow.__table__.columns)
"""What a row of the ledger holds, in order."""

_BATCH = 1000
_TOKENS = ("prompt_tokens", "cached_tokens", "completion_tokens")


async def sums(store: Store) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Return requests, prompt, cached and completion tokens: of all rows, and of all hours; they must be equal.

    Requests that were not let in count among the rows, though they have none each.
    """
    refused = select(func.coalesce(func.sum(RefusalRow.count), 0)).scalar_subquery()
    rows = select(func.count() + refused, *(_sum(RequestRow, name) for name in _TOKENS)).select_from(RequestRow)
    hours = select(*(_sum(UsageHourRow, name) for name in ("requests", *_TOKENS)))
    async with store.reading() as connection:
        of_rows = (await connection.execute(rows)).one()
        of_hours = (await connection.execute(hours)).one()
    return tuple(map(int, of_rows)), tuple(map(int, of_hours))


async def export(store: Store, *, since: float, until: float) -> AsyncGenerator[tuple[Any, ...]]:
    """Yield the requests that began in a time (seconds since the epoch), in order; see ``COLUMNS``."""
    ids = RequestRow.id
    query = select(RequestRow.__table__).where(ids >= id_floor(since), ids < id_floor(until)).order_by(ids)
    async with store.reading() as connection:
        rows = await connection.stream(query, execution_options={"yield_per": _BATCH})
        async for row in rows:
            yield tuple(row)


def _sum(table: type[RequestRow | UsageHourRow], name: str) -> Any:
    return func.coalesce(func.sum(getattr(table, name)), 0)
