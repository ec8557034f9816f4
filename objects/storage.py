"""Where the bytes of files are: a folder, or whatever else fsspec knows (``s3://bucket/prefix``, ``gs://``, ...).

fsspec's calls block, so each one runs in a thread, and a file moves in pieces: no file is ever held in memory.
"""

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import fsspec

from objects.errors import NoSuchObject, StorageFailed

PIECE_BYTES = 2**20
_BLOCK_BYTES = 8 * 2**20
"""What fsspec holds of a file on its way to a bucket; s3fs would hold 50 MiB. S3 takes 10,000 blocks a file."""

_THREADS = 8

Write = Callable[[bytes], Awaitable[None]]
_Result = TypeVar("_Result")


class Storage:
    """A place of files, each known by its id alone: what clients call their files never becomes a path.

    Args:
        url: a folder, or a URL of a scheme that fsspec knows.
        options: what fsspec's file system takes, such as ``{"endpoint_url": ...}``.

    Raises:
        ImportError: the package for the URL's scheme is not installed.
        ValueError: fsspec does not know the scheme.
    """

    def __init__(self, url: str, options: Mapping[str, Any]) -> None:
        self._files, root = fsspec.core.url_to_fs(url, **options)
        self._root = root.rstrip("/")
        self._is_local = isinstance(self._files, fsspec.get_filesystem_class("file"))
        self._threads = ThreadPoolExecutor(_THREADS, "files")  # its own: a slow bucket must not hold up anything else

    def close(self) -> None:
        """Let the threads end."""
        self._threads.shutdown(wait=False)

    @contextlib.asynccontextmanager
    async def writing(self, file_id: str) -> AsyncGenerator[Write, None]:
        """Yield what appends to a new file; when something goes wrong meanwhile, nothing is left of it.

        Raises:
            StorageFailed: the storage does not take it.
        """
        if self._is_local:
            # The folder holds what clients have sent: it is the owner's alone.
            await self._call(partial(Path(self._root).mkdir, parents=True, exist_ok=True, mode=0o700))
        file = await self._call(partial(self._files.open, self._path(file_id), "wb", block_size=_BLOCK_BYTES))

        async def write(piece: bytes) -> None:
            await self._call(partial(file.write, piece))

        try:
            yield write
            await self._call(file.close)
        except BaseException:
            await asyncio.shield(self._discard(file, file_id))
            raise

    async def read(self, file_id: str) -> AsyncGenerator[bytes, None]:
        """Yield a file's bytes in pieces.

        Raises:
            NoSuchObject: it is not there.
            StorageFailed: it cannot be read.
        """
        file = await self._call(partial(self._files.open, self._path(file_id), "rb", block_size=_BLOCK_BYTES))
        try:
            while piece := await self._call(partial(file.read, PIECE_BYTES)):
                yield piece
        finally:
            await asyncio.shield(self._call(file.close))

    async def lines(self, file_id: str, longest: int) -> AsyncGenerator[bytes | None, None]:
        """Yield a file's lines without their ends; ``None`` in place of one that is longer than ``longest`` bytes."""
        held, is_long = b"", False
        async with contextlib.aclosing(self.read(file_id)) as pieces:
            async for piece in pieces:
                *whole, rest = await self._call(partial(_split, held, piece))
                for line in whole:
                    yield None if is_long or len(line) > longest else line
                    is_long = False
                is_long = is_long or len(rest) > longest
                held = b"" if is_long else rest
        if held or is_long:
            yield None if is_long else held

    async def remove(self, file_id: str) -> None:
        """Remove a file; one that is not there is no error.

        Raises:
            StorageFailed: the storage does not answer.
        """
        with contextlib.suppress(NoSuchObject):
            await self._call(partial(self._files.rm_file, self._path(file_id)))

    def _path(self, file_id: str) -> str:
        return f"{self._root}/{file_id}"

    async def _discard(self, file: Any, file_id: str) -> None:
        with contextlib.suppress(StorageFailed):  # half a file that cannot be removed is swept away later
            await self._call(file.close)
            await self.remove(file_id)

    async def _call(self, blocking: Callable[[], _Result]) -> _Result:
        try:
            return await asyncio.get_running_loop().run_in_executor(self._threads, blocking)
        except FileNotFoundError as error:
            raise NoSuchObject("no such file in the storage") from error
        except Exception as error:  # each scheme's package raises its own
            raise StorageFailed(f"the file storage failed: {type(error).__name__}") from error


def _split(held: bytes, piece: bytes) -> list[bytes]:
    return (held + piece).split(b"\n")
