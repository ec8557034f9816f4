import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from auth.errors import Conflict, InvalidValue, NameTaken, NotFound
from auth.keys import create_key
from auth.limits import Limit
from auth.projects import create_project, list_projects, update_project
from auth.snapshot import KeySnapshot
from auth.store import Store
from tests.unit.auth.test_snapshot import eventually, knows


async def test_a_project_owns_keys(store: Store, snapshot: KeySnapshot) -> None:
    project = await create_project(store, name="research", limits=[Limit("requests", "minute", 10)])
    key, secret = await create_key(store, name="laptop", project="research")
    await eventually(lambda: knows(snapshot, secret))
    assert key.project == project.id
    assert snapshot.project(snapshot.identify(f"Bearer {secret}")) == project


async def test_two_projects_may_have_keys_of_one_name(store: Store) -> None:
    await create_project(store, name="research")
    await create_key(store, name="laptop")
    await create_key(store, name="laptop", project="research")


async def test_new_limits_of_a_project_reach_a_snapshot(store: Store, snapshot: KeySnapshot) -> None:
    _, secret = await create_key(store, name="laptop")
    limits = (Limit("tokens", "month", 1000),)
    await update_project(store, "default", limits=limits)
    await eventually(lambda: knows(snapshot, secret))
    assert snapshot.project(snapshot.identify(f"Bearer {secret}")).limits == limits


async def test_an_archived_projects_keys_stop(store: Store, snapshot: KeySnapshot) -> None:
    project = await create_project(store, name="research")
    _, secret = await create_key(store, name="laptop", project=project.id)
    await eventually(lambda: knows(snapshot, secret))
    await update_project(store, project.id, archived=True)
    await eventually(lambda: not knows(snapshot, secret))


async def test_the_default_project_stays(store: Store) -> None:
    with pytest.raises(InvalidValue):
        await update_project(store, "default", archived=True)


async def test_a_project_that_somebody_else_has_changed_is_a_conflict(store: Store) -> None:
    await update_project(store, "default", version=1, name="renamed")
    with pytest.raises(Conflict):
        await update_project(store, "default", version=1, name="renamed again")


async def test_names_of_projects_in_use_are_unique(store: Store) -> None:
    await create_project(store, name="research")
    with pytest.raises(NameTaken):
        await create_project(store, name="research")
    with pytest.raises(NameTaken):
        await update_project(store, "default", name="research")


async def test_a_missing_project_cannot_be_changed(store: Store) -> None:
    with pytest.raises(NotFound):
        await update_project(store, "nowhere", name="x")


async def test_every_project_is_listed(store: Store) -> None:
    made = await create_project(store, name="research")
    assert {project.id for project in await list_projects(store)} == {"default", made.id}


@pytest.mark.parametrize("statement", ["UPDATE audit SET actor = 'nobody'", "DELETE FROM audit"])
async def test_the_database_itself_keeps_the_audit_log_from_changes(store: Store, statement: str) -> None:
    await create_project(store, name="research")
    with pytest.raises(DBAPIError):
        async with store.writing() as connection:
            await connection.execute(text(statement))
