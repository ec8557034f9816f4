"""Batches: what clients see of them, and what they may do to them."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, cast

import orjson
from sqlalchemy import Row, func, insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from auth.store import Store
from auth.tables import ProjectRow
from objects.batch_tables import BatchRow
from objects.errors import InUse, NoSuchObject, TooMany
from objects.ids import new_id
from objects.states import ACTIVE, CANCELLABLE, State

WINDOW_S = 86_400
"""The one completion window that the API knows: 24 hours."""


@dataclass(frozen=True, slots=True)
class Mistake:
    """What is wrong with a batch or with one line of its input.

    Attributes:
        code: for programs.
        message: for people; holds nothing of the input.
        param: the field, as a dotted path.
        line: the number of the line, from 1.
    """

    code: str
    message: str
    param: str | None = None
    line: int | None = None


@dataclass(frozen=True, slots=True)
class Batch:
    """A batch.

    Attributes:
        id: ``batch_...``; rises with time.
        project, key: the ids of its owner, and of the key under whose limits and account it runs.
        endpoint: the path that every line asks.
        model: the model that all the lines ask for, if they ask for one.
        total, completed, failed: lines.
        created_at, ended_at, ...: seconds since the epoch, UTC.
    """

    id: str
    project: str
    key: str
    endpoint: str
    input_file_id: str
    status: State
    model: str | None
    metadata: Mapping[str, str] | None
    errors: Sequence[Mistake]
    output_expires_after_s: int | None
    output_file_id: str | None
    error_file_id: str | None
    total: int
    completed: int
    failed: int
    prompt_tokens: int
    cached_tokens: int
    completion_tokens: int
    created_at: float
    expires_at: float
    in_progress_at: float | None
    finalizing_at: float | None
    cancelling_at: float | None
    ended_at: float | None


async def create_batch(
    store: Store,
    *,
    project: str,
    key: str,
    endpoint: str,
    input_file_id: str,
    metadata: Mapping[str, str] | None,
    output_expires_after_s: int | None,
    most: int,
) -> Batch:
    """Store a new batch, which whoever runs the batches will find.

    Raises:
        TooMany: ``most`` of the project's batches have not ended.
    """
    now = time.time()
    row = {
        "id": new_id("batch_"),
        "project_id": project,
        "key_id": key,
        "endpoint": endpoint,
        "input_file_id": input_file_id,
        "status": "validating",
        "metadata_": None if metadata is None else orjson.dumps(dict(metadata)).decode(),
        "output_expires_after_s": output_expires_after_s,
        "created_at": now,
        "expires_at": now + WINDOW_S,
        **dict.fromkeys(("total", "completed", "failed", "prompt_tokens", "cached_tokens", "completion_tokens"), 0),
    }
    async with store.writing() as connection:
        # Requests of one project are counted one after the other.
        await connection.execute(select(ProjectRow.id).where(ProjectRow.id == project).with_for_update())
        active = select(func.count()).where(BatchRow.project_id == project, BatchRow.status.in_(ACTIVE))
        if (await connection.execute(active)).scalar_one() >= most:
            raise TooMany(most)
        await connection.execute(insert(BatchRow).values(row))
        return await find_batch(connection, project, str(row["id"]))


async def read_batch(store: Store, project: str, batch_id: str) -> Batch:
    """Return a batch.

    Raises:
        NoSuchObject: the project has none of that id.
    """
    async with store.reading() as connection:
        return await find_batch(connection, project, batch_id)


async def find_batch(connection: AsyncConnection, project: str, batch_id: str) -> Batch:
    """Return a batch; see ``read_batch``."""
    query = select(BatchRow.__table__).where(BatchRow.id == batch_id, BatchRow.project_id == project)
    row = (await connection.execute(query)).one_or_none()
    if row is None:
        raise NoSuchObject(batch_id)
    return _batch_of(row)


async def list_batches(store: Store, project: str, *, after: str | None, limit: int) -> list[Batch]:
    """Return some of a project's batches, the newest first; ``after`` is the id to go on from."""
    query = select(BatchRow.__table__).where(BatchRow.project_id == project).order_by(BatchRow.id.desc()).limit(limit)
    if after is not None:
        query = query.where(BatchRow.id < after)
    async with store.reading() as connection:
        return [_batch_of(row) for row in await connection.execute(query)]


async def active_batches(connection: AsyncConnection, limit: int) -> list[Batch]:
    """Return the batches that have not ended, the oldest first."""
    query = select(BatchRow.__table__).where(BatchRow.status.in_(ACTIVE)).order_by(BatchRow.id).limit(limit)
    return [_batch_of(row) for row in await connection.execute(query)]


async def cancel_batch(store: Store, project: str, batch_id: str) -> Batch:
    """Ask for a batch's end; return it. Asking again changes nothing.

    Raises:
        NoSuchObject: the project has none of that id.
        InUse: it has ended already, or is about to.
    """
    async with store.writing() as connection:
        cancel = update(BatchRow).where(BatchRow.id == batch_id, BatchRow.project_id == project)
        cancel = cancel.where(BatchRow.status.in_(CANCELLABLE))
        await connection.execute(cancel.values(status="cancelling", cancelling_at=time.time()))
        batch = await find_batch(connection, project, batch_id)
    if batch.status not in ("cancelling", "cancelled"):
        raise InUse(batch_id)
    return batch


def dump_mistakes(mistakes: Sequence[Mistake]) -> str:
    """Return mistakes as they are stored."""
    return orjson.dumps([asdict(mistake) for mistake in mistakes]).decode()


def _batch_of(row: Row[*tuple[Any, ...]]) -> Batch:
    fields = dict(row._mapping)
    metadata, errors = fields.pop("metadata"), fields.pop("errors")
    return Batch(
        project=fields.pop("project_id"),
        key=fields.pop("key_id"),
        status=cast(State, fields.pop("status")),
        metadata=None if metadata is None else orjson.loads(metadata),
        errors=[] if errors is None else [Mistake(**mistake) for mistake in orjson.loads(errors)],
        **fields,
    )
