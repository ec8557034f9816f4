"""The ledger's sums, by hour for reports and by day and month for budgets, kept with the rows they are the sums of."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Literal

from sqlalchemy.ext.asyncio import AsyncConnection

from auth.ledger_row import LedgerRow
from auth.ledger_tables import UsageHourRow, UsagePeriodRow
from auth.periods import period_of
from auth.tables import Base
from auth.upsert import insertion

_Group = tuple[int | str, ...]

_PERIODS: tuple[Literal["day", "month"], ...] = ("day", "month")

_HOUR = ("hour", "project_id", "key_id", "model")
_HOUR_SUMS = ("requests", "errors", "prompt_tokens", "cached_tokens", "completion_tokens", "cost")
_PERIOD = ("period", "owner", "owner_id", "model", "model_asked")
_PERIOD_SUMS = ("requests", "prompt_tokens", "completion_tokens", "cost")


async def add_up(connection: AsyncConnection, rows: Iterable[LedgerRow], *, sign: int) -> None:
    """Add rows to their sums, or with ``sign=-1`` take them away."""
    alike: dict[tuple[int, str, str, str, str], list[float]] = defaultdict(lambda: [0.0] * len(_HOUR_SUMS))
    for row in rows:
        project, key, model, asked = row.dimensions()
        failed = row.status >= 400 or row.status == 0
        amounts = (1, failed, row.prompt_tokens, row.cached_tokens, row.completion_tokens, row.cost)
        _add(alike[row.hour, project, key, model, asked], [sign * amount for amount in amounts])
    hours: dict[_Group, list[float]] = defaultdict(lambda: [0.0] * len(_HOUR_SUMS))
    periods: dict[_Group, list[float]] = defaultdict(lambda: [0.0] * len(_PERIOD_SUMS))
    for (hour, project, key, model, asked), sums in alike.items():
        _add(hours[hour, project, key, model], sums)
        requests, _, prompt, _, completion, cost = sums
        for per in _PERIODS:
            period = period_of(per, hour * 3600).name
            for owner in (("key", key), ("project", project)):
                _add(periods[period, *owner, model, asked], (requests, prompt, completion, cost))
    await _upsert(connection, UsageHourRow, _HOUR, _HOUR_SUMS, hours)
    await _upsert(connection, UsagePeriodRow, _PERIOD, _PERIOD_SUMS, periods)


async def add_refused(connection: AsyncConnection, refused: Mapping[tuple[int, str, str], int]) -> None:
    """Add requests that were not let in to the hours' sums, which know of them that no model answered.

    Args:
        connection: in a transaction.
        refused: how many, by hour, project and key.
    """
    nothing = [0.0] * (len(_HOUR_SUMS) - 2)
    groups: dict[_Group, list[float]] = {(*group, ""): [count, count, *nothing] for group, count in refused.items()}
    await _upsert(connection, UsageHourRow, _HOUR, _HOUR_SUMS, groups)


def _add(sums: list[float], amounts: Sequence[float]) -> None:
    for place, amount in enumerate(amounts):
        sums[place] += amount


async def _upsert(
    connection: AsyncConnection,
    table: type[Base],
    dimensions: Sequence[str],
    sums: Sequence[str],
    groups: Mapping[_Group, list[float]],
) -> None:
    if not groups:
        return
    values = [
        dict(zip((*dimensions, *sums), (*group, *groups[group]), strict=True))
        for group in sorted(groups)  # always in one order: two replicas that lock the same rows must not cross
    ]
    statement = insertion(connection, table)
    added = {name: getattr(table, name) + statement.excluded[name] for name in sums}
    upsert = statement.on_conflict_do_update(index_elements=list(dimensions), set_=added)
    await connection.execute(upsert, values)
