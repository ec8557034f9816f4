"""The table of passages: ``raygate index`` writes it, and retrieval-augmented chat reads it.

A document is a file of the folder that was indexed; its passages are texts with the embeddings of one model. The table
is a SQLite file of its own or stands in a PostgreSQL database.
"""

import contextlib
import os
import time
from collections.abc import AsyncGenerator, Collection, Sequence
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import (
    URL,
    Column,
    Float,
    ForeignKey,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    Text,
    delete,
    func,
    insert,
    make_url,
    select,
)
from sqlalchemy.exc import ArgumentError
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine
from sqlalchemy.schema import CreateTable

MAX_PASSAGES = 100_000
"""Passages of one index: with 384 dimensions, their embeddings take 150 MB of each replica's memory."""

_BUSY_TIMEOUT_S = 10
_CREATION_LOCK = 0x7061_7373
"""PostgreSQL's ``IF NOT EXISTS`` does not keep two sessions from creating one table at the same time."""

_METADATA = MetaData()
_DOCUMENTS = Table(
    "documents",
    _METADATA,
    Column("source", String(1024), primary_key=True),
    Column("model", String(128), nullable=False),
    Column("digest", String(64), nullable=False),
    Column("indexed_at", Float, nullable=False),
)
_PASSAGES = Table(
    "passages",
    _METADATA,
    Column("source", ForeignKey(_DOCUMENTS.c.source), primary_key=True),
    Column("ordinal", Integer, primary_key=True),
    Column("text", Text, nullable=False),
    Column("embedding", LargeBinary, nullable=False),
)


class BadIndex(ValueError):
    """The place of an index is neither a file nor a PostgreSQL URL."""


@dataclass(frozen=True)
class Passage:
    """A part of a document.

    Attributes:
        source: the document: its path below the folder that was indexed.
        ordinal: the passage's place in the document, from 0.
        text: what it says.
        embedding: little-endian float32.
    """

    source: str
    ordinal: int
    text: str
    embedding: bytes


Version = tuple[int, float]
"""Changes whenever documents come, go or change."""


def index_url(index: str | None, application: str, home: Path) -> URL:
    """Return where a pipeline's passages are kept.

    Args:
        index: a file, relative to ``home``, or a PostgreSQL URL; ``None`` means a file named after the application.
        application: the pipeline's Serve application, whose name is fit for files.
        home: Raygate's folder.

    Raises:
        BadIndex: it is a URL of something else.
    """
    if index and "://" in index:
        try:
            url = make_url(index)
        except ArgumentError:
            raise BadIndex("index: the URL cannot be read; write postgresql://user@host/name") from None
        if url.get_backend_name() not in ("postgresql", "postgres"):
            raise BadIndex("index: it is a file, or postgresql://user@host/name")
        return url.set(drivername="postgresql+asyncpg")
    file = Path(index or f"indexes/{application}.db").expanduser()
    path = home.expanduser().resolve() / file
    return URL.create("sqlite+aiosqlite", database=str(path))


@contextlib.asynccontextmanager
async def open_passages(url: URL) -> AsyncGenerator["Passages", None]:
    """Yield the table at ``url``, as :func:`index_url` returns it; it is made where there is none.

    Raises:
        OSError, sqlalchemy.exc.SQLAlchemyError: there can be none.
    """
    on_sqlite = url.get_backend_name() == "sqlite"
    if on_sqlite:
        path = Path(str(url.database))
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        os.close(os.open(path, os.O_CREAT | os.O_RDWR, 0o600))
    engine = create_async_engine(url, hide_parameters=True, connect_args={"timeout": _BUSY_TIMEOUT_S})
    try:
        async with engine.begin() as connection:
            if on_sqlite:
                await connection.exec_driver_sql("PRAGMA journal_mode=WAL")
            else:
                await connection.execute(select(func.pg_advisory_xact_lock(_CREATION_LOCK)))
            for table in _METADATA.sorted_tables:
                await connection.execute(CreateTable(table, if_not_exists=True))
        yield Passages(engine)
    finally:
        await engine.dispose()


class Passages:
    """An open table."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine

    async def version(self, model: str) -> Version:
        """Return the version of what ``model`` has embedded."""
        asked = select(func.count(), func.coalesce(func.max(_DOCUMENTS.c.indexed_at), 0.0))
        async with self._engine.connect() as connection:
            count, latest = (await connection.execute(asked.where(_DOCUMENTS.c.model == model))).one()
        return count, latest

    async def read(self, model: str) -> list[Passage]:
        """Return the passages that ``model`` has embedded, at most :data:`MAX_PASSAGES`."""
        columns = (_PASSAGES.c.source, _PASSAGES.c.ordinal, _PASSAGES.c.text, _PASSAGES.c.embedding)
        asked = select(*columns).join(_DOCUMENTS).where(_DOCUMENTS.c.model == model).limit(MAX_PASSAGES)
        async with self._engine.connect() as connection:
            return [Passage(*row) for row in await connection.execute(asked)]

    async def digests(self, model: str) -> dict[str, str]:
        """Return what each document was made of that ``model`` has embedded, by source."""
        asked = select(_DOCUMENTS.c.source, _DOCUMENTS.c.digest).where(_DOCUMENTS.c.model == model)
        async with self._engine.connect() as connection:
            return {row.source: row.digest for row in await connection.execute(asked)}

    async def replace(self, model: str, source: str, digest: str, passages: Sequence[Passage]) -> None:
        """Put a document in the place of what was there under its name.

        Args:
            model: has embedded the passages.
            source: the document.
            digest: of what it is made of.
            passages: all of them.
        """
        document = {"source": source, "model": model, "digest": digest, "indexed_at": time.time()}
        rows = [vars(passage) for passage in passages]
        async with self._engine.begin() as connection:
            await connection.execute(delete(_PASSAGES).where(_PASSAGES.c.source == source))
            await connection.execute(delete(_DOCUMENTS).where(_DOCUMENTS.c.source == source))
            await connection.execute(insert(_DOCUMENTS), [document])
            if rows:
                await connection.execute(insert(_PASSAGES), rows)

    async def remove(self, sources: Collection[str]) -> None:
        """Take documents out."""
        async with self._engine.begin() as connection:
            for source in sources:
                await connection.execute(delete(_PASSAGES).where(_PASSAGES.c.source == source))
                await connection.execute(delete(_DOCUMENTS).where(_DOCUMENTS.c.source == source))

    async def count(self, model: str) -> int:
        """Return how many passages ``model`` has embedded."""
        asked = select(func.count()).select_from(_PASSAGES.join(_DOCUMENTS)).where(_DOCUMENTS.c.model == model)
        async with self._engine.connect() as connection:
            return int((await connection.execute(asked)).scalar_one())
