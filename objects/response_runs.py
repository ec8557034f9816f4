"""Responses that run in the background: how they move on, how they are cancelled, and what becomes of them when the
gateway replica that runs them dies.
"""

import time
from collections.abc import Collection

import orjson
from sqlalchemy import exists, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from auth.ledger_tables import GatewayRow
from auth.reaper import SILENT_FOR_S
from auth.store import Store
from objects.errors import NotInBackground
from objects.response_tables import ResponseRow
from objects.responses import RUNNING, Json, StoredResponse, find_response

_GATEWAY_DIED: Json = {"code": "server_error", "message": "The gateway that ran the response has died. Please retry."}


async def move_on(store: Store, response_id: str, body: Json) -> bool:
    """Store a running response's next state.

    Returns:
        Whether it was running still; where it was not (cancelled, deleted), nothing is changed.
    """
    async with store.writing() as connection:
        return await _move_on(connection, response_id, body)


async def end_late(store: Store, response_id: str, body: Json) -> None:
    """Store the end of a response that came while the database was away; who took it for lost meanwhile was wrong."""
    async with store.writing() as connection:
        if not await _move_on(connection, response_id, body):
            found = select(ResponseRow.body).where(ResponseRow.id == response_id).with_for_update()
            stored = (await connection.execute(found)).scalar_one_or_none()
            if stored is not None and orjson.loads(stored).get("error") == _GATEWAY_DIED:
                values = {"status": body["status"], "body": orjson.dumps(body).decode()}
                await connection.execute(update(ResponseRow).where(ResponseRow.id == response_id).values(values))


async def cancel(store: Store, project: str, response_id: str) -> StoredResponse:
    """Cancel a response if it runs, and return it; whoever runs it notices.

    Raises:
        NoSuchObject: the project has none of that id.
        NotInBackground: it was not asked for in the background.
    """
    async with store.writing() as connection:
        response = await find_response(connection, project, response_id)
        if not response.body.get("background"):
            raise NotInBackground(response_id)
        await _move_on(connection, response_id, {**response.body, "status": "cancelled"})
        return await find_response(connection, project, response_id)


async def still_running(store: Store, response_ids: Collection[str]) -> set[str]:
    """Return those that have been neither cancelled nor deleted."""
    running = select(ResponseRow.id).where(ResponseRow.id.in_(response_ids), ResponseRow.status.in_(RUNNING))
    async with store.reading() as connection:
        return set((await connection.execute(running)).scalars())


async def fail_orphans(store: Store) -> None:
    """Fail what dead replicas have left running.

    A replica is dead when the ledger's watch has buried it (``auth.reaper``); one that has just started may not have
    told that it lives.
    """
    is_orphan = ~exists().where(GatewayRow.id == ResponseRow.gateway)
    orphans = select(ResponseRow.id, ResponseRow.body).where(
        ResponseRow.gateway.is_not(None), is_orphan, ResponseRow.created_at < time.time() - SILENT_FOR_S
    )
    async with store.reading() as connection:
        found = (await connection.execute(orphans)).all()
    for response_id, body in found:
        await move_on(store, response_id, {**orjson.loads(body), "status": "failed", "error": _GATEWAY_DIED})


async def _move_on(connection: AsyncConnection, response_id: str, body: Json) -> bool:
    step = update(ResponseRow).where(ResponseRow.id == response_id, ResponseRow.status.in_(RUNNING))
    values = {"status": body["status"], "body": orjson.dumps(body).decode()}
    if body["status"] not in RUNNING:
        values["gateway"] = None
    return (await connection.execute(step.values(values))).rowcount == 1
