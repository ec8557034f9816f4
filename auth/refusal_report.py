"""Who was not let in, and why."""

from dataclasses import dataclass

from sqlalchemy import func, select

from auth.ledger_tables import RefusalRow
from auth.store import Store

_MINUTE_S = 60


@dataclass(frozen=True, slots=True)
class RefusalSum:
    """How often a key was refused one model for one reason.

    Attributes:
        key, project: ids.
        model: what was asked for; ``unknown`` for a name that the configuration lacks, or that was never read.
        status, code: what was answered.
        refusals: how often.
        last: the minute of the last one, in seconds since the epoch.
    """

    key: str
    project: str
    model: str
    status: int
    code: str
    refusals: int
    last: int


async def refusals(
    store: Store,
    *,
    since: float,
    until: float,
    key: str | None = None,
    project: str | None = None,
    limit: int = 100,
) -> list[RefusalSum]:
    """Sum the refusals of a time, the most frequent first.

    Args:
        store: the database.
        since, until: seconds since the epoch; whole minutes count, from that of ``since`` up to before ``until``.
        key, project: ids; only their requests.
        limit: how many sums at most.
    """
    groups = (
        RefusalRow.key_id,
        RefusalRow.project_id,
        RefusalRow.model_asked,
        RefusalRow.status,
        RefusalRow.error_code,
    )
    times = func.sum(RefusalRow.count)
    query = select(*groups, times, func.max(RefusalRow.minute) * _MINUTE_S)
    query = query.where(RefusalRow.minute >= int(since // _MINUTE_S), RefusalRow.minute * _MINUTE_S < until)
    filters = ((RefusalRow.key_id, key), (RefusalRow.project_id, project))
    query = query.where(*(column == value for column, value in filters if value is not None))
    query = query.group_by(*groups).order_by(times.desc(), *groups).limit(limit)
    async with store.reading() as connection:
        rows = (await connection.execute(query)).all()
    return [
        RefusalSum(key_id, project_id, model, status, code, int(count), int(last))
        for key_id, project_id, model, status, code, count, last in rows
    ]
