"""Which responses go: the expired, and the oldest of a project that has too many. Harmless in several replicas."""

import time

from sqlalchemy import Select, delete, exists, func, select
from sqlalchemy.orm import aliased

from auth.store import Store
from objects.response_tables import ResponseRow
from objects.responses import RUNNING

_PAGE = 500


async def sweep(store: Store, *, most: int) -> None:
    """Remove what has expired, and of each project what it has beyond ``most``.

    A response goes before those that it continues, so that no conversation loses its beginning.
    """
    while await _remove_expired(store):
        pass
    crowded = select(ResponseRow.project_id, func.count()).group_by(ResponseRow.project_id)
    async with store.reading() as connection:
        projects = (await connection.execute(crowded.having(func.count() > most))).all()
    for project, count in projects:
        await _remove_oldest(store, project, count - most)


async def _remove_expired(store: Store) -> int:
    last_turns = _last_turns().where(ResponseRow.expires_at <= time.time()).limit(_PAGE)
    return await _remove(store, last_turns)


async def _remove_oldest(store: Store, project: str, count: int) -> None:
    while count > 0:
        last_turns = _last_turns().where(ResponseRow.project_id == project).order_by(ResponseRow.id)
        removed = await _remove(store, last_turns.limit(min(count, _PAGE)))
        if not removed:
            return
        count -= removed


def _last_turns() -> Select[str]:
    later = aliased(ResponseRow)
    is_last = ~exists().where(later.previous_id == ResponseRow.id)
    return select(ResponseRow.id).where(is_last, ResponseRow.status.not_in(RUNNING))


async def _remove(store: Store, ids: Select[str]) -> int:
    async with store.writing() as connection:
        return (await connection.execute(delete(ResponseRow).where(ResponseRow.id.in_(ids)))).rowcount
