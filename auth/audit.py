"""The audit log: who changed what, as it was before and after. Written in the change's own transaction."""

import time
from dataclasses import dataclass
from typing import Any

import orjson
from sqlalchemy import insert, select
from sqlalchemy.ext.asyncio import AsyncConnection

from auth.store import Store
from auth.tables import AuditRow


@dataclass(frozen=True, slots=True)
class Action:
    """One change.

    Attributes:
        id: rises with time.
        at: seconds since the epoch.
        actor: who: a key's id, or ``cli``.
        action: ``key.create``, ``project.update``, ...
        subject: the id of what was changed.
        before, after: its public fields; ``None`` where it did not exist. Never a secret, nor a secret's hash.
    """

    id: int
    at: float
    actor: str
    action: str
    subject: str
    before: dict[str, Any] | None
    after: dict[str, Any] | None


async def note(
    connection: AsyncConnection,
    *,
    actor: str,
    action: str,
    subject: str,
    before: dict[str, Any] | None = None,
    after: dict[str, Any] | None = None,
) -> None:
    """Write one action down; see ``Action``."""
    states = {"before": before, "after": after}
    texts = {name: None if state is None else orjson.dumps(state).decode() for name, state in states.items()}
    await connection.execute(
        insert(AuditRow).values(at=time.time(), actor=actor, action=action, subject=subject, **texts)
    )


async def list_actions(
    store: Store,
    *,
    subject: str | None = None,
    actor: str | None = None,
    before_id: int | None = None,
    limit: int = 100,
) -> list[Action]:
    """Return the newest actions first; go on with the last one's id as ``before_id``."""
    query = select(AuditRow.__table__).order_by(AuditRow.id.desc()).limit(limit)
    if subject is not None:
        query = query.where(AuditRow.subject == subject)
    if actor is not None:
        query = query.where(AuditRow.actor == actor)
    if before_id is not None:
        query = query.where(AuditRow.id < before_id)
    async with store.reading() as connection:
        rows = (await connection.execute(query)).all()
    return [Action(r.id, r.at, r.actor, r.action, r.subject, _state(r.before), _state(r.after)) for r in rows]


def _state(text: str | None) -> dict[str, Any] | None:
    return None if text is None else dict(orjson.loads(text))
