"""Files: what projects have stored, within a quota. Here are the records; the bytes are in a ``Storage``."""

import time
from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import Exists, Row, Select, delete, exists, func, insert, or_, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from auth.store import Store
from auth.tables import ProjectRow
from objects.batch_tables import BatchRow
from objects.errors import InUse, NoSuchObject
from objects.file_tables import FileRow
from objects.ids import new_id
from objects.states import ACTIVE

ABANDONED_S = 86_400
"""An upload of which nothing is heard for so long has died with its gateway."""


@dataclass(frozen=True, slots=True)
class File:
    """A file.

    Attributes:
        id: ``file-...``; rises with time.
        project: the id of the project that owns it.
        filename: as its owner calls it, for show alone.
        purpose: what it is for, in the API's words.
        bytes: its size.
        created_at, expires_at: seconds since the epoch, UTC.
    """

    id: str
    project: str
    filename: str
    purpose: str
    bytes: int
    created_at: float
    expires_at: float | None


async def begin_file(store: Store, project: str) -> str:
    """Return the id of a file that is to be uploaded; nobody sees it before ``finish_file``."""
    file_id = new_id("file-")
    row = {"id": file_id, "project_id": project, "filename": "", "purpose": "", "bytes": 0, "created_at": time.time()}
    async with store.writing() as connection:
        await connection.execute(insert(FileRow).values(row))
    return file_id


async def claim_bytes(store: Store, file_id: str, project: str, size: int, quota: int) -> bool:
    """Set aside so many bytes in all for an upload; say whether the project's other files leave room for them."""
    async with store.writing() as connection:
        # Uploads of one project claim one after the other.
        await connection.execute(select(ProjectRow.id).where(ProjectRow.id == project).with_for_update())
        others = select(func.coalesce(func.sum(FileRow.bytes), 0)).where(
            FileRow.project_id == project, FileRow.id != file_id
        )
        fits = int((await connection.execute(others)).scalar_one()) + size <= quota
        if fits:
            await connection.execute(update(FileRow).where(FileRow.id == file_id).values(bytes=size))
        return fits


async def finish_file(
    store: Store, file_id: str, *, filename: str, purpose: str, size: int, expires_after_s: int | None
) -> File:
    """Make an uploaded file visible, and return it."""
    async with store.writing() as connection:
        await finish(
            connection, file_id, filename=filename, purpose=purpose, size=size, expires_after_s=expires_after_s
        )
        return _file_of((await connection.execute(_visible().where(FileRow.id == file_id))).one())


async def finish(
    connection: AsyncConnection, file_id: str, *, filename: str, purpose: str, size: int, expires_after_s: int | None
) -> None:
    """Make a file visible with the transaction's end."""
    now = time.time()
    values = {
        "filename": filename,
        "purpose": purpose,
        "bytes": size,
        "created_at": now,
        "stored_at": now,
        "expires_at": None if expires_after_s is None else now + expires_after_s,
    }
    await connection.execute(update(FileRow).where(FileRow.id == file_id).values(values))


async def read_file(store: Store, project: str, file_id: str) -> File:
    """Return a file.

    Raises:
        NoSuchObject: the project has none of that id.
    """
    async with store.reading() as connection:
        row = (await connection.execute(_of(project).where(FileRow.id == file_id))).one_or_none()
    if row is None:
        raise NoSuchObject(file_id)
    return _file_of(row)


async def list_files(
    store: Store, project: str, *, after: str | None, limit: int, newest_first: bool, purpose: str | None
) -> list[File]:
    """Return some of a project's files.

    Args:
        store: the database.
        project: the owner's id.
        after: the id to go on from; the file itself may be gone.
        limit: how many at most.
        newest_first: the order.
        purpose: only files for this; ``None`` means any.
    """
    query = _of(project).limit(limit).order_by(FileRow.id.desc() if newest_first else FileRow.id)
    if after is not None:
        query = query.where(FileRow.id < after if newest_first else FileRow.id > after)
    if purpose is not None:
        query = query.where(FileRow.purpose == purpose)
    async with store.reading() as connection:
        return [_file_of(row) for row in await connection.execute(query)]


async def hide_file(store: Store, project: str, file_id: str) -> None:
    """Make a file invisible; its bytes can then be removed, and it be forgotten: now, or by whoever sweeps.

    Raises:
        NoSuchObject: the project has none of that id.
        InUse: a batch reads it still.
    """
    async with store.writing() as connection:
        if (await connection.execute(_of(project).where(FileRow.id == file_id))).one_or_none() is None:
            raise NoSuchObject(file_id)
        if (await connection.execute(select(_is_read()).where(FileRow.id == file_id))).scalar_one():
            raise InUse(file_id)
        await connection.execute(update(FileRow).where(FileRow.id == file_id).values(stored_at=None, created_at=0.0))


async def abandon_file(store: Store, file_id: str) -> bool:
    """Let an upload that was never finished be swept away; say whether that is so."""
    async with store.writing() as connection:
        unseen = update(FileRow).where(FileRow.id == file_id, FileRow.stored_at.is_(None))
        return (await connection.execute(unseen.values(created_at=0.0))).rowcount == 1


async def forget_file(store: Store, file_id: str) -> None:
    """Forget the record of a file whose bytes are gone."""
    async with store.writing() as connection:
        await connection.execute(delete(FileRow).where(FileRow.id == file_id))


async def stale_files(store: Store, limit: int) -> Sequence[str]:
    """Return ids of files that are to be removed: expired, deleted by halves, or of an upload that has died."""
    now = time.time()
    is_expired = FileRow.expires_at <= now
    is_abandoned = FileRow.stored_at.is_(None) & (FileRow.created_at <= now - ABANDONED_S)
    query = select(FileRow.id).where(or_(is_expired, is_abandoned), ~_is_read()).limit(limit)
    async with store.reading() as connection:
        return (await connection.execute(query)).scalars().all()


def _visible() -> Select[*tuple[object, ...]]:
    columns = (
        FileRow.id,
        FileRow.project_id,
        FileRow.filename,
        FileRow.purpose,
        FileRow.bytes,
        FileRow.created_at,
        FileRow.expires_at,
    )
    is_fresh = or_(FileRow.expires_at.is_(None), FileRow.expires_at > time.time())
    return select(*columns).where(FileRow.stored_at.is_not(None), is_fresh)


def _of(project: str) -> Select[*tuple[object, ...]]:
    return _visible().where(FileRow.project_id == project)


def _is_read() -> Exists:
    """Whether a batch that has not ended reads the file."""
    return exists().where(BatchRow.input_file_id == FileRow.id, BatchRow.status.in_(ACTIVE))


def _file_of(row: Row[*tuple[object, ...]]) -> File:
    return File(*row)  # type: ignore[arg-type]  # the columns are the fields
