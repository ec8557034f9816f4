"""Files: records and bytes in step, within a quota, each project for itself."""

import asyncio
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import select, update

from auth.projects import create_project
from objects.batches import create_batch
from objects.errors import InUse, NoSuchObject, QuotaExceeded
from objects.file_store import Files
from objects.file_tables import FileRow
from objects.files import File, list_files, read_file
from objects.storage import PIECE_BYTES, Storage
from tests.unit.objects.conftest import QUOTA

PROJECT = "default"


async def add(
    files: Files, data: bytes, *, project: str = PROJECT, purpose: str = "batch", expires: int | None = None
) -> File:
    async with files.adding(project) as (new, write):
        await write(data)
    return await files.finish(new, filename="a.jsonl", purpose=purpose, expires_after_s=expires)


async def bytes_of(files: Files, file: File) -> bytes:
    return b"".join([piece async for piece in files.storage.read(file.id)])


async def test_what_was_written_is_read_again(files: Files) -> None:
    file = await add(files, b"hello")
    assert await read_file(files.store, PROJECT, file.id) == file
    assert (file.bytes, file.filename, file.purpose) == (5, "a.jsonl", "batch")
    assert await bytes_of(files, file) == b"hello"


async def test_a_file_is_seen_only_when_it_is_whole(files: Files) -> None:
    async with files.adding(PROJECT) as (new, write):
        await write(b"half")
        with pytest.raises(NoSuchObject):
            await read_file(files.store, PROJECT, new.id)


async def test_a_broken_upload_leaves_neither_record_nor_bytes(files: Files) -> None:
    with pytest.raises(RuntimeError):
        async with files.adding(PROJECT) as (new, write):
            await write(b"half")
            raise RuntimeError
    async with files.store.reading() as connection:
        assert (await connection.execute(select(FileRow.id))).all() == []
    with pytest.raises(NoSuchObject):
        await anext(files.storage.read(new.id))


async def test_another_projects_file_does_not_exist(files: Files) -> None:
    other = await create_project(files.store, name="other")
    file = await add(files, b"secret")
    for ask in (read_file(files.store, other.id, file.id), files.delete(other.id, file.id)):
        with pytest.raises(NoSuchObject):
            await ask
    assert await list_files(files.store, other.id, after=None, limit=10, newest_first=True, purpose=None) == []


async def test_the_quota_holds_for_all_files_of_a_project_together(files: Files) -> None:
    first = await add(files, b"x" * (QUOTA - 10))
    with pytest.raises(QuotaExceeded):
        await add(files, b"x" * 11)
    await add(files, b"x" * 10)
    await files.delete(PROJECT, first.id)
    await add(files, b"x" * (QUOTA - 10))


async def test_uploads_at_the_same_time_cannot_pass_the_quota_together(files: Files) -> None:
    async def attempt() -> bool:
        try:
            await add(files, b"x" * (QUOTA // 3))
        except QuotaExceeded:
            return False
        return True

    assert sum(await asyncio.gather(*(attempt() for _ in range(6)))) <= 3


async def test_lists_go_on_where_a_page_ended_even_if_its_last_file_is_gone(files: Files) -> None:
    made = [await add(files, b"x", purpose="batch" if number % 2 else "vision") for number in range(6)]

    async def page(after: str | None, *, newest_first: bool, purpose: str | None = None) -> list[str]:
        found = await list_files(files.store, PROJECT, after=after, limit=2, newest_first=newest_first, purpose=purpose)
        return [file.id for file in found]

    assert await page(None, newest_first=True) == [made[5].id, made[4].id]
    await files.delete(PROJECT, made[4].id)
    assert await page(made[4].id, newest_first=True) == [made[3].id, made[2].id]
    assert await page(made[1].id, newest_first=False) == [made[2].id, made[3].id]
    assert await page(None, newest_first=True, purpose="vision") == [made[2].id, made[0].id]


async def test_a_file_that_a_batch_reads_cannot_be_deleted(files: Files) -> None:
    file = await add(files, b"{}")
    await create_batch(
        files.store,
        project=PROJECT,
        key="key_1",
        endpoint="/v1/chat/completions",
        input_file_id=file.id,
        metadata=None,
        output_expires_after_s=None,
        most=1,
    )
    with pytest.raises(InUse):
        await files.delete(PROJECT, file.id)


async def test_an_expired_file_is_gone_at_once_and_swept_later(files: Files) -> None:
    file = await add(files, b"x", expires=3600)
    async with files.store.writing() as connection:
        await connection.execute(update(FileRow).values(expires_at=1.0))
    with pytest.raises(NoSuchObject):
        await read_file(files.store, PROJECT, file.id)
    await files.sweep()
    with pytest.raises(NoSuchObject):
        await anext(files.storage.read(file.id))


async def test_an_upload_that_died_with_its_gateway_is_swept(files: Files) -> None:
    async with files.adding(PROJECT) as (new, write):
        await write(b"x")
        # The gateway is killed here: neither finished nor discarded.
    async with files.store.writing() as connection:
        await connection.execute(update(FileRow).values(created_at=1.0))
    await files.sweep()
    async with files.store.reading() as connection:
        assert (await connection.execute(select(FileRow.id).where(FileRow.id == new.id))).all() == []


async def test_the_folder_of_files_is_the_owners_alone(tmp_path: Path) -> None:
    storage = Storage(str(tmp_path / "files"), {})
    async with storage.writing("file-1") as write:
        await write(b"x")
    assert (tmp_path / "files").stat().st_mode & 0o077 == 0
    storage.close()


@given(
    lines=st.lists(st.binary(max_size=40).map(lambda line: line.replace(b"\n", b"")), max_size=20),
    ends_with_newline=st.booleans(),
)
def test_lines_come_as_they_were_written_and_long_ones_are_told(lines: list[bytes], ends_with_newline: bool) -> None:
    async def read() -> list[bytes | None]:
        storage = Storage("memory://lines", {})
        async with storage.writing("file-1") as write:
            await write(b"\n".join(lines) + b"\n" * ends_with_newline)
        found = [line async for line in storage.lines("file-1", 20)]
        storage.close()
        return found

    written = (b"\n".join(lines) + b"\n" * ends_with_newline).split(b"\n")
    expected = [line if len(line) <= 20 else None for line in (written[:-1] if written[-1] == b"" else written)]
    assert asyncio.run(read()) == expected


async def test_a_line_may_be_longer_than_a_piece() -> None:
    storage = Storage("memory://long", {})
    long = b"x" * (PIECE_BYTES * 2 + 5)
    async with storage.writing("file-1") as write:
        await write(long + b"\nshort\n" + long)
    found = [line async for line in storage.lines("file-1", PIECE_BYTES * 3)]
    told = [line async for line in storage.lines("file-1", 100)]
    storage.close()
    assert found == [long, b"short", long]
    assert told == [None, b"short", None]
