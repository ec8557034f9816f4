"""``/admin/v1/projects``: who owns keys, and what bounds them all together."""

from typing import Any, Literal, Self

from fastapi import APIRouter, Response
from pydantic import ConfigDict, Field

from auth.limit_text import warnings_of
from auth.projects import Project, create_project, list_projects, read_project, update_project
from gateway.request.services import Services
from gateway.routes.admin.fields import (
    Change,
    IdOrName,
    IfMatch,
    LimitObject,
    Limits,
    Name,
    Sent,
    expected_version,
    limits_of,
    seconds,
)
from gateway.routes.admin.guard import Actor
from gateway.routes.admin.pages import After, Listed, Page, PageSize
from gateway.routes.admin.problems import CONFLICT, NOT_FOUND
from gateway.routing.models import ModelTable

_LIMITS: list[Any] = [{"of": "tokens", "per": "day", "amount": 1_000_000, "model": "*"}]


class ProjectObject(Listed):
    """A project."""

    model_config = ConfigDict(
        json_schema_extra={
            "example": {
                "object": "project",
                "id": "proj_5a1e0d8c7b6f4932",
                "name": "research",
                "limits": _LIMITS,
                "created_at": 1_760_000_000,
                "archived_at": None,
                "version": 1,
                "warnings": [],
            }
        }
    )

    object: Literal["project"] = "project"
    id: str
    name: str
    limits: list[LimitObject] = Field(description="What bounds its keys all together.")
    created_at: int
    archived_at: int | None = Field(description="Since when its keys are invalid.")
    version: int = Field(description="Rises with each change.")
    warnings: list[str] = Field(description="Limits that bound nothing: no model or alias has such a name.")

    @classmethod
    def of(cls, project: Project, models: ModelTable) -> Self:
        """Return the project as the API shows it; its limits are looked for among the names of ``models``."""
        return cls(
            id=project.id,
            name=project.name,
            limits=[LimitObject.of_limit(limit) for limit in project.limits],
            created_at=int(project.created_at),
            archived_at=seconds(project.archived_at),
            version=project.version,
            warnings=warnings_of(project.limits, models.names()),
        )


class NewProject(Sent):
    """A project to be made."""

    model_config = ConfigDict(json_schema_extra={"example": {"name": "research", "limits": _LIMITS}})

    name: Name = Field(description="Unique among the projects in use.")
    limits: Limits = Field(default_factory=list)


class ProjectChange(Change):
    """What to change of a project; what is left out stays."""

    model_config = ConfigDict(json_schema_extra={"example": {"limits": _LIMITS, "version": 1}})

    name: Name = Field(default_factory=str)


def add_projects(router: APIRouter, services: Services) -> None:
    """Add the routes."""
    store = services.access.store

    @router.post("/projects", status_code=201, responses=CONFLICT, summary="Make a project")
    async def create(body: NewProject, actor: Actor, response: Response) -> ProjectObject:
        project = await create_project(store, name=body.name, limits=limits_of(body.limits), actor=actor)
        return await changed(project, response)

    @router.get("/projects", summary="List the projects, archived ones too")
    async def list_(after: After = None, limit: PageSize = 20) -> Page[ProjectObject]:
        found = await list_projects(store, after=after or "", limit=limit + 1)
        return Page[ProjectObject].of(found, limit, shown)

    @router.get("/projects/{id}", responses=NOT_FOUND, summary="Show a project")
    async def show(id_or_name: IdOrName, response: Response) -> ProjectObject:
        return tagged(await read_project(store, id_or_name), response)

    @router.patch("/projects/{id}", responses=NOT_FOUND | CONFLICT, summary="Change a project")
    async def change(
        id_or_name: IdOrName, body: ProjectChange, actor: Actor, response: Response, if_match: IfMatch = None
    ) -> ProjectObject:
        version = expected_version(body.version, if_match)
        project = await update_project(store, id_or_name, version=version, actor=actor, **body.fields())
        return await changed(project, response)

    @router.post("/projects/{id}/archive", responses=NOT_FOUND | CONFLICT, summary="Make a project's keys invalid")
    async def archive(
        id_or_name: IdOrName, actor: Actor, response: Response, if_match: IfMatch = None
    ) -> ProjectObject:
        version = expected_version(None, if_match)
        return await changed(
            await update_project(store, id_or_name, version=version, archived=True, actor=actor), response
        )

    @router.post("/projects/{id}/restore", responses=NOT_FOUND | CONFLICT, summary="Make them valid again")
    async def restore(
        id_or_name: IdOrName, actor: Actor, response: Response, if_match: IfMatch = None
    ) -> ProjectObject:
        version = expected_version(None, if_match)
        return await changed(
            await update_project(store, id_or_name, version=version, archived=False, actor=actor), response
        )

    async def changed(project: Project, response: Response) -> ProjectObject:
        await services.access.keys.refresh()  # the other replicas look by themselves within a second
        return tagged(project, response)

    def tagged(project: Project, response: Response) -> ProjectObject:
        response.headers["etag"] = f'"{project.version}"'
        return shown(project)

    def shown(project: Project) -> ProjectObject:
        return ProjectObject.of(project, services.models)
