"""Projects: each owns keys, and may bound them all together."""

import secrets
import time
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any

from sqlalchemy import Row, insert, or_, select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncConnection

from auth import audit
from auth.changes import UNCHANGED, Unchanged, expect_one, given, next_revision
from auth.checks import check_name
from auth.errors import InvalidValue, NameTaken, NotFound
from auth.limits import Limit, dump_limits, load_limits
from auth.store import Store
from auth.tables import DEFAULT_PROJECT, ProjectRow


@dataclass(frozen=True, slots=True)
class Project:
    """A project.

    Attributes:
        limits: what bounds its keys all together.
        created_at, archived_at: seconds since the epoch; an archived project's keys are invalid.
        version: how often it has been changed, for optimistic locking.
    """

    id: str
    name: str
    limits: tuple[Limit, ...]
    created_at: float
    archived_at: float | None = None
    version: int = 1


async def create_project(store: Store, *, name: str, limits: Iterable[Limit] = (), actor: str = "cli") -> Project:
    """Store a new project; ``actor`` is who asks, for the audit log.

    Raises:
        InvalidValue: the name cannot be stored.
        NameTaken: a project in use has that name.
    """
    project = Project(f"proj_{secrets.token_hex(8)}", check_name(name), tuple(limits), time.time())
    try:
        async with store.writing() as connection:
            revision = await next_revision(connection)
            await connection.execute(
                insert(ProjectRow).values(
                    id=project.id,
                    name=project.name,
                    limits=dump_limits(project.limits),
                    created_at=project.created_at,
                    version=project.version,
                    revision=revision,
                )
            )
            await audit.note(
                connection, actor=actor, action="project.create", subject=project.id, after=asdict(project)
            )
    except IntegrityError:
        raise NameTaken(f"there is a project named {name!r} already") from None
    return project


async def list_projects(store: Store, *, after: str = "", limit: int | None = None) -> list[Project]:
    """Return the projects in the order of their ids, archived ones too; ``after`` is the id to go on from."""
    page = select(ProjectRow.__table__).where(ProjectRow.id > after).order_by(ProjectRow.id).limit(limit)
    async with store.reading() as connection:
        return [project_of(row) for row in await connection.execute(page)]


async def read_project(store: Store, id_or_name: str) -> Project:
    """Return one project; see ``find_project``."""
    async with store.reading() as connection:
        return await find_project(connection, id_or_name)


async def find_project(connection: AsyncConnection, id_or_name: str) -> Project:
    """Return the project with that id, or else the one in use with that name.

    Raises:
        NotFound: there is none.
    """
    named = (ProjectRow.name == id_or_name) & ProjectRow.archived_at.is_(None)
    rows = await connection.execute(select(ProjectRow.__table__).where(or_(ProjectRow.id == id_or_name, named)))
    found = sorted(map(project_of, rows), key=lambda project: project.id != id_or_name)
    if not found:
        raise NotFound(f"no project {id_or_name!r}")
    return found[0]


async def update_project(
    store: Store,
    id_or_name: str,
    *,
    version: int | None = None,
    name: str | Unchanged = UNCHANGED,
    limits: Iterable[Limit] | Unchanged = UNCHANGED,
    archived: bool | Unchanged = UNCHANGED,
    actor: str = "cli",
) -> Project:
    """Change what is given; return the project as it is then.

    Args:
        store: the database.
        id_or_name: which project.
        version: the version that the change was decided on; ``None`` changes whatever is there.
        name: see ``Project``.
        limits: see ``Project``.
        archived: whether its keys stop; the project ``default`` cannot be archived.
        actor: who asks, for the audit log.

    Raises:
        NotFound, InvalidValue, NameTaken: as for ``create_project``.
        Conflict: somebody else has changed it since ``version``.
    """
    values = given(
        name=name if isinstance(name, Unchanged) else check_name(name),
        limits=limits if isinstance(limits, Unchanged) else dump_limits(limits),
        archived_at=archived if isinstance(archived, Unchanged) else (time.time() if archived else None),
    )
    try:
        async with store.writing() as connection:
            values["revision"] = await next_revision(connection)
            before = await find_project(connection, id_or_name)
            if before.id == DEFAULT_PROJECT and values.get("archived_at"):
                raise InvalidValue("the default project cannot be archived")
            change = update(ProjectRow).values(version=ProjectRow.version + 1, **values)
            expected = before.version if version is None else version
            found = (ProjectRow.id == before.id) & (ProjectRow.version == expected)
            expect_one(await connection.execute(change.where(found)))
            after = await find_project(connection, before.id)
            await audit.note(
                connection,
                actor=actor,
                action="project.update",
                subject=before.id,
                before=asdict(before),
                after=asdict(after),
            )
    except IntegrityError:
        raise NameTaken(f"there is a project named {name!r} already") from None
    return after


def project_of(row: Row[*tuple[Any, ...]]) -> Project:
    """Read a row of the table."""
    return Project(row.id, row.name, load_limits(row.limits), row.created_at, row.archived_at, row.version)
