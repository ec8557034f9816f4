"""``/admin/v1/audit``: who changed what, as it was before and after."""

from typing import Annotated, Any, Literal, Self

from fastapi import APIRouter, Query
from pydantic import ConfigDict, Field

from auth.audit import Action, list_actions
from gateway.request.services import Services
from gateway.routes.admin.fields import Text
from gateway.routes.admin.pages import Listed, Page, PageSize


class ActionObject(Listed):
    """One change."""

    model_config = ConfigDict(
        json_schema_extra={
            "example": {
                "object": "audit.action",
                "id": 17,
                "at": 1_760_000_000,
                "actor": "key_0c9f2a4be1d35768",
                "action": "project.update",
                "subject": "proj_5a1e0d8c7b6f4932",
                "before": {"name": "research", "version": 1},
                "after": {"name": "science", "version": 2},
            }
        }
    )

    object: Literal["audit.action"] = "audit.action"
    id: int
    at: int
    actor: str = Field(description="The id of the key that asked, or `cli`.")
    action: str
    subject: str = Field(description="The id of what was changed.")
    before: dict[str, Any] | None = Field(description="`null` where it did not exist.")
    after: dict[str, Any] | None

    @classmethod
    def of(cls, action: Action) -> Self:
        """Return the action as the API shows it."""
        return cls(
            id=action.id,
            at=int(action.at),
            actor=action.actor,
            action=action.action,
            subject=action.subject,
            before=action.before,
            after=action.after,
        )


Subject = Annotated[Text | None, Query(description="Only changes of this key or project: its id.")]
By = Annotated[Text | None, Query(description="Only changes by this key, or by `cli`.")]
Older = Annotated[int | None, Query(ge=1, lt=2**63, description="Go on after this: the `last_id` of the page before.")]


def add_audit(router: APIRouter, services: Services) -> None:
    """Add the route."""

    @router.get("/audit", summary="List the changes, the newest first")
    async def audit(
        subject: Subject = None, actor: By = None, after: Older = None, limit: PageSize = 20
    ) -> Page[ActionObject]:
        found = await list_actions(
            services.access.store, subject=subject, actor=actor, before_id=after, limit=limit + 1
        )
        return Page[ActionObject].of(found, limit, ActionObject.of)
