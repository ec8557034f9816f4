import asyncio
import stat
import subprocess
import sys
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import select, update

from auth.errors import UnsupportedDatabase
from auth.store import Store, sqlite_url
from auth.tables import Base, ProjectRow
from objects import batch_tables, file_tables, response_tables  # noqa: F401  (their tables join the metadata)


async def test_the_default_project_exists_after_migration(store: Store) -> None:
    async with store.reading() as connection:
        names = (await connection.execute(select(ProjectRow.name))).scalars().all()
    assert names == ["default"]


async def test_migrating_again_changes_nothing(store: Store) -> None:
    await store.migrate()
    async with store.reading() as connection:
        assert len((await connection.execute(select(ProjectRow))).all()) == 1


def test_several_processes_may_migrate_at_once(database_url: str) -> None:
    program = f"import asyncio; from auth.store import Store; asyncio.run(Store({database_url!r}).migrate())"
    processes = [subprocess.Popen([sys.executable, "-c", program]) for _ in range(4)]
    assert [process.wait(timeout=60) for process in processes] == [0, 0, 0, 0]


async def test_the_migrations_build_exactly_the_tables_of_the_code(store: Store) -> None:
    async with store.engine.connect() as connection:
        differences = await connection.run_sync(
            lambda sync: compare_metadata(MigrationContext.configure(sync), Base.metadata)
        )
    assert differences == []


async def test_a_failed_transaction_leaves_nothing(store: Store) -> None:
    with pytest.raises(RuntimeError):
        async with store.writing() as connection:
            await connection.execute(update(ProjectRow).values(name="half done"))
            raise RuntimeError
    async with store.reading() as connection:
        assert (await connection.execute(select(ProjectRow.name))).scalar_one() == "default"


async def test_concurrent_writers_wait_for_each_other(store: Store) -> None:
    async def increment() -> None:
        async with store.writing() as connection:
            await connection.execute(update(ProjectRow).values(version=ProjectRow.version + 1))
            await asyncio.sleep(0.005)

    await asyncio.gather(*(increment() for _ in range(10)))
    async with store.reading() as connection:
        assert (await connection.execute(select(ProjectRow.version))).scalar_one() == 11


async def test_a_write_that_is_broken_off_holds_nobody_up(store: Store) -> None:
    rename = update(ProjectRow).values(name="new")
    async with store.engine.connect() as connection:
        await connection.execution_options(raygate_write=True)
        await connection.execute(rename)
        driver = (await connection.get_raw_connection()).driver_connection
        assert driver is not None
        unfinished = await driver.execute("SELECT 1 UNION SELECT 2") if store.is_sqlite else None
        await connection.invalidate()  # as SQLAlchemy does when its task is cancelled
    async with asyncio.timeout(5), store.writing() as other:
        await other.execute(rename)
    del unfinished  # a cancelled task's traceback can keep it for long


def test_the_database_file_is_the_owners_alone(tmp_path: Path) -> None:
    sqlite_url(tmp_path)
    assert stat.S_IMODE((tmp_path / "raygate.db").stat().st_mode) == 0o600


@pytest.mark.parametrize("url", ["mysql://somewhere/db", "sqlite://", "sqlite:///:memory:", "nonsense"])
def test_an_unusable_url_is_refused_before_anything_is_opened(url: str) -> None:
    with pytest.raises(UnsupportedDatabase):
        Store(url)
