"""``/v1/batches``: as in OpenAI's API reference."""

from typing import Annotated, Literal, Self

from fastapi import APIRouter, Query, Security
from pydantic import BaseModel, ConfigDict, Field

from auth.keys import INFERENCE, Key
from auth.tokens import ID_PREFIX
from gateway.batches.lines import ENDPOINTS
from gateway.endpoints.fields import Metadata
from gateway.http import errors
from gateway.request.services import Services
from gateway.routes.admin.guard import BEARER, guarded
from gateway.routes.admin.problems import NOT_FOUND, PROBLEMS
from gateway.routes.objects import After, Asker, Id, Item, ItemList, ObjectId
from objects.batches import Batch, Mistake, cancel_batch, create_batch, list_batches, read_batch
from objects.files import read_file
from objects.states import State

MAX_PAGE = 100


class OutputExpiry(BaseModel):
    """When the files that a batch writes expire."""

    model_config = ConfigDict(extra="forbid", strict=True)

    anchor: Literal["created_at"]
    seconds: int = Field(ge=3600, le=2_592_000)


class NewBatch(BaseModel):
    """A batch to be run."""

    model_config = ConfigDict(extra="forbid", strict=True)

    input_file_id: Id
    endpoint: str = Field(max_length=64, description="One of " + ", ".join(ENDPOINTS))
    completion_window: Literal["24h"]
    metadata: Metadata | None = None
    output_expires_after: OutputExpiry | None = None


class BatchError(BaseModel):
    """What is wrong with the input."""

    code: str
    message: str
    param: str | None
    line: int | None


class BatchErrors(BaseModel):
    """Everything that is wrong with the input, up to a bound."""

    object: Literal["list"] = "list"
    data: list[BatchError]

    @classmethod
    def of(cls, mistakes: list[Mistake]) -> Self:
        """Return mistakes as the API shows them."""
        return cls(
            data=[
                BatchError(code=each.code, message=each.message, param=each.param, line=each.line) for each in mistakes
            ]
        )


class RequestCounts(BaseModel):
    """How many lines there are, and what has become of those that have run."""

    total: int
    completed: int
    failed: int


class InputDetails(BaseModel):
    """Of the prompts' tokens."""

    cached_tokens: int


class OutputDetails(BaseModel):
    """Of the completions' tokens."""

    reasoning_tokens: int = 0


class BatchUsage(BaseModel):
    """The tokens of all lines."""

    input_tokens: int
    input_tokens_details: InputDetails
    output_tokens: int
    output_tokens_details: OutputDetails = OutputDetails()
    total_tokens: int


class BatchObject(Item):
    """A batch."""

    object: Literal["batch"] = "batch"
    endpoint: str
    model: str | None
    errors: BatchErrors | None
    input_file_id: str
    completion_window: Literal["24h"] = "24h"
    status: State
    output_file_id: str | None
    error_file_id: str | None
    created_at: int
    in_progress_at: int | None
    expires_at: int
    finalizing_at: int | None
    completed_at: int | None
    failed_at: int | None
    expired_at: int | None
    cancelling_at: int | None
    cancelled_at: int | None
    request_counts: RequestCounts
    usage: BatchUsage
    metadata: dict[str, str] | None

    @classmethod
    def of(cls, batch: Batch) -> Self:
        """Return the batch as the API shows it."""

        def ended(status: State) -> int | None:
            return _seconds(batch.ended_at) if batch.status == status else None

        return cls(
            id=batch.id,
            endpoint=batch.endpoint,
            model=batch.model,
            errors=BatchErrors.of(list(batch.errors)) if batch.errors else None,
            input_file_id=batch.input_file_id,
            status=batch.status,
            output_file_id=batch.output_file_id,
            error_file_id=batch.error_file_id,
            created_at=int(batch.created_at),
            in_progress_at=_seconds(batch.in_progress_at),
            expires_at=int(batch.expires_at),
            finalizing_at=_seconds(batch.finalizing_at),
            completed_at=ended("completed"),
            failed_at=ended("failed"),
            expired_at=ended("expired"),
            cancelling_at=_seconds(batch.cancelling_at),
            cancelled_at=ended("cancelled"),
            request_counts=RequestCounts(total=batch.total, completed=batch.completed, failed=batch.failed),
            usage=BatchUsage(
                input_tokens=batch.prompt_tokens,
                input_tokens_details=InputDetails(cached_tokens=batch.cached_tokens),
                output_tokens=batch.completion_tokens,
                total_tokens=batch.prompt_tokens + batch.completion_tokens,
            ),
            metadata=None if batch.metadata is None else dict(batch.metadata),
        )


def batches_router(services: Services) -> APIRouter:
    """Return the routes."""
    router = APIRouter(
        prefix="/v1/batches",
        tags=["batches"],
        route_class=guarded(services, INFERENCE),
        strict_content_type=False,  # as on the generating routes: a body is JSON, unless it says that it is not
        responses=PROBLEMS,
        dependencies=[Security(BEARER)],
    )
    store, settings = services.access.store, services.settings.batches

    @router.post("", responses=NOT_FOUND, summary="Run the requests of a file")
    async def create(body: NewBatch, key: Asker) -> BatchObject:
        _check_key(key)
        if body.endpoint not in ENDPOINTS:
            raise errors.invalid_value("endpoint", f"'endpoint' must be one of {', '.join(ENDPOINTS)}.")
        file = await read_file(store, key.project, body.input_file_id)
        if file.purpose != "batch":
            raise errors.invalid_value("input_file_id", "The file's purpose must be 'batch'.")
        batch = await create_batch(
            store,
            project=key.project,
            key=key.id,
            endpoint=body.endpoint,
            input_file_id=file.id,
            metadata=body.metadata,
            output_expires_after_s=body.output_expires_after.seconds if body.output_expires_after else None,
            most=settings.max_active,
        )
        return BatchObject.of(batch)

    @router.get("", summary="List the project's batches, the newest first")
    async def list_(
        key: Asker, after: After = None, limit: Annotated[int, Query(ge=1, le=MAX_PAGE)] = 20
    ) -> ItemList[BatchObject]:
        found = await list_batches(store, key.project, after=after, limit=limit + 1)
        return ItemList[BatchObject].of(found, limit, BatchObject.of)

    @router.get("/{batch_id}", responses=NOT_FOUND, summary="Show a batch")
    async def show(key: Asker, batch_id: ObjectId) -> BatchObject:
        return BatchObject.of(await read_batch(store, key.project, batch_id))

    @router.post("/{batch_id}/cancel", responses=NOT_FOUND, summary="End a batch early")
    async def cancel(key: Asker, batch_id: ObjectId) -> BatchObject:
        return BatchObject.of(await cancel_batch(store, key.project, batch_id))

    return router


def _check_key(key: Key) -> None:
    if key.id.startswith(ID_PREFIX):
        # A token ends within minutes and cannot be looked up; whoever holds it can have a key.
        raise errors.ApiError(
            403,
            "A batch outlives the token that you show. Make it with an API key of the same project.",
            code="permission_denied",
        )


def _seconds(moment: float | None) -> int | None:
    return None if moment is None else int(moment)
