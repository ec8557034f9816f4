"""What the ledger knows of a limit's use, for a coordinator that has lost its memory."""

import time
from typing import Any, cast

from sqlalchemy import Select, func, select

from auth.ledger_row import id_floor
from auth.ledger_tables import RequestRow, UsageHourRow
from auth.limits import Limit, Of, Per
from auth.meters import WINDOW_S
from auth.periods import Period, named_period
from auth.store import Store


async def used_so_far(store: Store, counter: str) -> float:
    """Return what a counter's limit has seen used, in its current minute, day or month.

    Args:
        store: the ledger's database.
        counter: a ``Counter.id``.
    """
    owner, owner_id, of, per, period, model = counter.split("|", 5)
    if of == "concurrency":
        return 0.0
    limit = Limit(cast(Of, of), cast(Per, per), 0.0, model)
    table: Any = RequestRow if per == "minute" else UsageHourRow
    column = table.key_id if owner == "key" else table.project_id
    query = _within_a_minute(of) if per == "minute" else _within(of, named_period(period))
    async with store.reading() as connection:
        sums = await connection.execute(query.where(column == owner_id).group_by(table.model))
        return sum(float(used or 0) for name, used in sums if limit.applies_to((name,)))


def _within_a_minute(of: str) -> Select[str, Any]:
    recent = RequestRow.id >= id_floor(time.time() - WINDOW_S)
    return select(RequestRow.model, _amount(RequestRow, of)).where(recent)


def _within(of: str, period: Period) -> Select[str, Any]:
    first, end = int(period.starts_at // 3600), int(period.ends_at // 3600)
    inside = (UsageHourRow.hour >= first) & (UsageHourRow.hour < end)
    return select(UsageHourRow.model, _amount(UsageHourRow, of)).where(inside)


def _amount(table: Any, of: str) -> Any:
    match of:
        case "requests":
            return func.count() if table is RequestRow else func.sum(table.requests)
        case "tokens":
            return func.sum(table.prompt_tokens + table.completion_tokens)
        case _:
            return func.sum(getattr(table, of))
