"""``GET /v1/usage`` and ``GET /v1/limits``: what the key at hand has used, and may use still."""

from typing import Annotated, Literal, Self

from fastapi import APIRouter, Query, Request, Security
from pydantic import BaseModel, ConfigDict, Field

from auth.counter import Owner
from auth.keys import INFERENCE, READ_USAGE, Key
from auth.limits import Of, Per
from auth.quota import Quota
from auth.usage_report import this_month, usage
from gateway.http.outage import database_needed
from gateway.request.identify import identify
from gateway.request.services import Services
from gateway.routes.admin.guard import BEARER
from gateway.routes.admin.problems import PROBLEMS
from gateway.routes.admin.usage import After, PageSize, Since, Until, UsageList


class QuotaObject(BaseModel):
    """How one limit stands, on all gateway replicas together."""

    model_config = ConfigDict(
        json_schema_extra={
            "example": {
                "object": "limit",
                "of": "tokens",
                "per": "minute",
                "model": "*",
                "owner": "key",
                "limit": 20_000,
                "remaining": 12_345,
                "resets_in_s": 42.5,
            }
        }
    )

    object: Literal["limit"] = "limit"
    of: Of
    per: Per | None
    model: str = Field(description="The models that are counted together: a glob.")
    owner: Owner = Field(description="Whose limit it is: this key's, or that of its whole project.")
    limit: float
    remaining: float
    resets_in_s: float = Field(description="Seconds until all of it is free, if nothing more is used.")

    @classmethod
    def of_quota(cls, quota: Quota) -> Self:
        """Return the quota as the API shows it."""
        limit = quota.limit
        return cls(
            of=limit.of,
            per=limit.per,
            model=limit.model,
            owner=quota.owner,
            limit=limit.amount,
            remaining=round(quota.remaining, 9),
            resets_in_s=round(quota.resets_in_s, 3),
        )


class QuotaList(BaseModel):
    """Every limit of the key and of its project."""

    object: Literal["list"] = "list"
    data: list[QuotaObject]


By = Annotated[
    list[Literal["model", "day", "hour"]], Query(description="Repeat it for several; left out, one sum of all.")
]


def account_router(services: Services) -> APIRouter:
    """Return the routes."""
    router = APIRouter(prefix="/v1", tags=["account"], responses=PROBLEMS, dependencies=[Security(BEARER)])
    access = services.access

    def own_key(request: Request) -> Key:
        return identify(services, request.scope, needs=[INFERENCE, READ_USAGE])

    @router.get("/usage", response_model_exclude_unset=True, summary="Sum what this key has used")
    async def own_usage(
        request: Request,
        since: Since = None,
        until: Until = None,
        group_by: By = [],  # noqa: B006 - FastAPI copies it
        after: After = None,
        limit: PageSize = 100,
    ) -> UsageList:
        key = own_key(request)
        start, end = this_month(since, until)
        with database_needed():
            page = await usage(
                access.store, since=start, until=end, group_by=group_by, key=key.id, cursor=after, limit=limit
            )
        return UsageList.of(page)

    @router.get("/limits", summary="Show how much this key may use still")
    async def own_limits(request: Request) -> QuotaList:
        key = own_key(request)
        quotas = await access.limiter.quotas(key, access.keys.project(key))
        return QuotaList(data=[QuotaObject.of_quota(quota) for quota in quotas])

    return router
