"""``/admin/v1/refusals``: who was not let in, and why."""

from typing import Annotated, Literal, Self

from fastapi import APIRouter, Query
from pydantic import BaseModel, ConfigDict, Field

from auth.refusal_report import RefusalSum, refusals
from auth.usage_report import MAX_PAGE, this_month
from gateway.request.services import Services
from gateway.routes.admin.fields import Text, Time


class RefusalObject(BaseModel):
    """How often a key was refused one model for one reason."""

    model_config = ConfigDict(
        json_schema_extra={
            "example": {
                "key": "key_0c9f2a4be1d35768",
                "project": "proj_5a1e0d8c7b6f4932",
                "model": "smollm2",
                "status": 429,
                "code": "rate_limit_exceeded",
                "refusals": 4_210,
                "last": 1_760_000_040,
            }
        }
    )

    key: str = Field(description="The key's id.")
    project: str = Field(description="The project's id.")
    model: str = Field(description="What was asked for; `unknown` where that is no model's name, or was never read.")
    status: int = Field(description="What was answered; 499 where the client had gone.")
    code: str = Field(description="The error's code, or else its type.")
    refusals: int
    last: int = Field(description="The minute of the last one, seconds since the epoch.")


class RefusalList(BaseModel):
    """The most frequent refusals first."""

    object: Literal["list"] = "list"
    data: list[RefusalObject]

    @classmethod
    def of(cls, sums: list[RefusalSum]) -> Self:
        """Return the sums as the API shows them."""
        return cls(data=[RefusalObject.model_validate(total, from_attributes=True) for total in sums])


Since = Annotated[
    Time | None, Query(description="From the minute of this time on; left out, from the start of the month.")
]
Until = Annotated[Time | None, Query(description="Up to before this time. Now, if left out.")]
Most = Annotated[int, Query(ge=1, le=MAX_PAGE, description="How many sums at most.")]
Filter = Annotated[Text | None, Query(description="Only what this one asked for.")]


def add_refusals(router: APIRouter, services: Services) -> None:
    """Add the route."""

    @router.get("/refusals", summary="Sum the requests that were not let in")
    async def sums(
        since: Since = None, until: Until = None, key: Filter = None, project: Filter = None, limit: Most = 100
    ) -> RefusalList:
        start, end = this_month(since, until)
        store = services.access.store
        return RefusalList.of(await refusals(store, since=start, until=end, key=key, project=project, limit=limit))
