"""Responses: what has been said, so that any gateway replica can go on from it.

Each holds its own turn alone; a conversation is the chain of those that continue each other. One that another
continues is kept for as long as that one, whatever its own expiry.
"""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import orjson
from sqlalchemy import Row, delete, insert, select
from sqlalchemy.ext.asyncio import AsyncConnection
from sqlalchemy.orm import aliased

from auth.store import Store
from objects.errors import NoSuchObject
from objects.response_tables import ResponseRow

Json = dict[str, Any]

RUNNING = ("queued", "in_progress")
"""The states of a response that is still to end."""


@dataclass(frozen=True, slots=True)
class StoredResponse:
    """A response.

    Attributes:
        id: ``resp_...``; rises with time.
        project, key: the ids of its owner, and of the key that asked.
        created_at, expires_at: seconds since the epoch, UTC.
        status: as in ``body``.
        body: the API's object.
        input: the items that this turn has added, each with an id.
        previous_id: the response that it continues.
        turns: of the conversation up to and with this one.
        gateway: the replica that runs it in the background; ``None`` when nobody does.
    """

    id: str
    project: str
    key: str
    created_at: float
    expires_at: float
    status: str
    body: Json
    input: list[Json]
    previous_id: str | None = None
    turns: int = 1
    gateway: str | None = None


async def keep_response(store: Store, response: StoredResponse) -> None:
    """Store a new response."""
    row = {
        "id": response.id,
        "project_id": response.project,
        "key_id": response.key,
        "created_at": response.created_at,
        "expires_at": response.expires_at,
        "status": response.status,
        "body": orjson.dumps(response.body).decode(),
        "input": orjson.dumps(response.input).decode(),
        "previous_id": response.previous_id,
        "turns": response.turns,
        "gateway": response.gateway,
    }
    async with store.writing() as connection:
        await connection.execute(insert(ResponseRow).values(row))


async def read_response(store: Store, project: str, response_id: str) -> StoredResponse:
    """Return a response.

    Raises:
        NoSuchObject: the project has none of that id, or has it no longer.
    """
    async with store.reading() as connection:
        return await find_response(connection, project, response_id)


async def find_response(connection: AsyncConnection, project: str, response_id: str) -> StoredResponse:
    """Return a response; see ``read_response``."""
    query = select(ResponseRow.__table__).where(ResponseRow.id == response_id, ResponseRow.project_id == project)
    row = (await connection.execute(query.where(ResponseRow.expires_at > time.time()))).one_or_none()
    if row is None:
        raise NoSuchObject(response_id)
    return _response_of(row)


async def read_conversation(store: Store, project: str, response_id: str) -> Sequence[StoredResponse]:
    """Return a response and all that it continues, the oldest first.

    Raises:
        NoSuchObject: the project has no response of that id, or one that it continues was deleted.
    """
    last = select(ResponseRow.__table__).where(ResponseRow.id == response_id, ResponseRow.project_id == project)
    chain = last.where(ResponseRow.expires_at > time.time()).cte("conversation", recursive=True)
    before = aliased(ResponseRow)
    columns = [getattr(before, column.name) for column in ResponseRow.__table__.columns]
    chain = chain.union_all(select(*columns).where(before.id == chain.c.previous_id, before.project_id == project))
    async with store.reading() as connection:
        rows = (await connection.execute(select(chain).order_by(chain.c.turns))).all()
    turns = [_response_of(row) for row in rows]
    if not turns or turns[0].previous_id is not None:
        raise NoSuchObject(response_id)
    return turns


async def delete_response(store: Store, project: str, response_id: str) -> None:
    """Delete a response; conversations that go through it cannot be continued any more.

    Raises:
        NoSuchObject: the project has none of that id.
    """
    async with store.writing() as connection:
        await find_response(connection, project, response_id)
        await connection.execute(delete(ResponseRow).where(ResponseRow.id == response_id))


def _response_of(row: Row[*tuple[Any, ...]]) -> StoredResponse:
    fields = dict(row._mapping)
    return StoredResponse(
        project=fields.pop("project_id"),
        key=fields.pop("key_id"),
        body=orjson.loads(fields.pop("body")),
        input=orjson.loads(fields.pop("input")),
        **fields,
    )
