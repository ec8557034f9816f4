"""``/admin/v1/usage``: what was used, by whom, of which model, when."""

from typing import Annotated, Literal, Self

from fastapi import APIRouter, Query
from pydantic import BaseModel, ConfigDict, Field

from auth.usage_report import MAX_PAGE, GroupBy, UsagePage, UsageSum, this_month, usage
from gateway.request.services import Services
from gateway.routes.admin.fields import Text, Time


class UsageObject(BaseModel):
    """The sums of one group: what it was grouped by stands in the first fields."""

    model_config = ConfigDict(
        json_schema_extra={
            "example": {
                "model": "smollm2",
                "day": 1_759_968_000,
                "requests": 120,
                "errors": 2,
                "prompt_tokens": 4_120,
                "cached_tokens": 0,
                "completion_tokens": 15_360,
                "cost": 0.0123,
            }
        }
    )

    key: str | None = Field(default=None, description="The key's id.")
    project: str | None = Field(default=None, description="The project's id.")
    model: str | None = Field(default=None, description="The model that answered; empty where none did.")
    day: int | None = Field(default=None, description="Its start in UTC, seconds since the epoch.")
    hour: int | None = Field(default=None, description="Its start, seconds since the epoch.")
    requests: int
    errors: int = Field(description="Requests with a status of 400 and above, or lost.")
    prompt_tokens: int
    cached_tokens: int = Field(description="Those of `prompt_tokens` that came from the prefix cache.")
    completion_tokens: int
    cost: float = Field(description="Money, by the models' prices.")

    @classmethod
    def of(cls, total: UsageSum) -> Self:
        """Return the sums as the API shows them."""
        return cls.model_validate(
            {
                **total.group,
                "requests": total.requests,
                "errors": total.errors,
                "prompt_tokens": total.prompt_tokens,
                "cached_tokens": total.cached_tokens,
                "completion_tokens": total.completion_tokens,
                "cost": total.cost,
            }
        )


class UsageList(BaseModel):
    """Some groups."""

    object: Literal["list"] = "list"
    data: list[UsageObject]
    has_more: bool
    next_after: str | None = Field(description="The next page's `after`.")

    @classmethod
    def of(cls, page: UsagePage) -> Self:
        """Return a page as the API shows it."""
        data = [UsageObject.of(total) for total in page.sums]
        return cls(object="list", data=data, has_more=page.next_cursor is not None, next_after=page.next_cursor)


Since = Annotated[
    Time | None,
    Query(description="From the hour of this time on; left out, from the start of the month."),
]
Until = Annotated[Time | None, Query(description="Up to before this time. Now, if left out.")]
By = Annotated[list[GroupBy], Query(description="Repeat it for several; left out, one sum of all.")]
After = Annotated[
    str | None, Query(max_length=1024, description="Go on after this: the `next_after` of the page before.")
]
PageSize = Annotated[int, Query(ge=1, le=MAX_PAGE)]
Filter = Annotated[Text | None, Query(description="Only what this one used or answered.")]


def add_usage(router: APIRouter, services: Services) -> None:
    """Add the route."""

    @router.get("/usage", response_model_exclude_unset=True, summary="Sum what was used")
    async def sums(
        since: Since = None,
        until: Until = None,
        group_by: By = [],  # noqa: B006 - FastAPI copies it
        key: Filter = None,
        project: Filter = None,
        model: Filter = None,
        after: After = None,
        limit: PageSize = 100,
    ) -> UsageList:
        start, end = this_month(since, until)
        page = await usage(
            services.access.store,
            since=start,
            until=end,
            group_by=group_by,
            key=key,
            project=project,
            model=model,
            cursor=after,
            limit=limit,
        )
        return UsageList.of(page)
