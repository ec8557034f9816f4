"""Files as a whole: records in the database, and bytes in the storage, kept in step.

A record comes before its bytes and goes after them, so that whatever is broken off is found again and swept away.
"""

import asyncio
import contextlib
import logging
from collections.abc import AsyncGenerator
from dataclasses import dataclass

from auth.store import Store
from objects.errors import QuotaExceeded, StorageFailed
from objects.files import (
    File,
    abandon_file,
    begin_file,
    claim_bytes,
    finish_file,
    forget_file,
    hide_file,
    stale_files,
)
from objects.storage import Storage, Write

CLAIM_BYTES = 16 * 2**20
"""Uploads claim their project's quota in such steps."""

_SWEPT_AT_ONCE = 100
_log = logging.getLogger(__name__)


@dataclass
class NewFile:
    """A file that is being written.

    Attributes:
        id: as it will be known.
        size: bytes so far.
    """

    id: str
    size: int = 0


@dataclass(frozen=True)
class Files:
    """The files of all projects.

    Attributes:
        quota_bytes: what each project's files may have in all.
    """

    store: Store
    storage: Storage
    quota_bytes: int

    @contextlib.asynccontextmanager
    async def adding(self, project: str, *, bounded: bool = True) -> AsyncGenerator[tuple[NewFile, Write], None]:
        """Yield a new file and what appends to it; nobody sees it before it is finished, by ``finish``.

        Args:
            project: the owner's id.
            bounded: whether the quota bounds it. A batch's results are not thrown away, they only count.

        Raises:
            QuotaExceeded: while writing.
            StorageFailed: the storage does not take it.
        """
        new = NewFile(await begin_file(self.store, project))
        claimed = 0

        try:
            async with self.storage.writing(new.id) as append:

                async def write(piece: bytes) -> None:
                    nonlocal claimed
                    if bounded and new.size + len(piece) > claimed:
                        claimed = await self._claim(new.id, project, new.size + len(piece))
                    await append(piece)
                    new.size += len(piece)

                yield new, write
        except BaseException:
            await asyncio.shield(forget_file(self.store, new.id))
            raise

    async def finish(self, new: NewFile, *, filename: str, purpose: str, expires_after_s: int | None) -> File:
        """Make a written file visible, and return it."""
        return await finish_file(
            self.store, new.id, filename=filename, purpose=purpose, size=new.size, expires_after_s=expires_after_s
        )

    async def discard(self, file_id: str) -> None:
        """Remove a written file that nobody has seen; one that is visible after all stays."""
        if await abandon_file(self.store, file_id):
            await self._remove(file_id)

    async def delete(self, project: str, file_id: str) -> None:
        """Delete a file; where the storage does not answer, the bytes go later.

        Raises:
            NoSuchObject: the project has none of that id.
            InUse: a batch reads it still.
        """
        await hide_file(self.store, project, file_id)
        await self._remove(file_id)

    async def sweep(self) -> None:
        """Remove the files that have expired, and what was left by halves."""
        for file_id in await stale_files(self.store, _SWEPT_AT_ONCE):
            await self._remove(file_id)

    async def _claim(self, file_id: str, project: str, size: int) -> int:
        """Claim as much as ``size`` needs, in whole steps where they fit; return what is claimed."""
        step = -(-size // CLAIM_BYTES) * CLAIM_BYTES
        for amount in dict.fromkeys((min(step, self.quota_bytes), size)):
            if await claim_bytes(self.store, file_id, project, amount, self.quota_bytes):
                return amount
        raise QuotaExceeded(self.quota_bytes)

    async def _remove(self, file_id: str) -> None:
        try:
            await self.storage.remove(file_id)
        except StorageFailed as error:
            _log.warning("file_not_removed", extra={"file": file_id, "error": str(error)})
        else:
            await forget_file(self.store, file_id)
