"""``/v1/files``: as in OpenAI's API reference."""

import contextlib
from collections.abc import AsyncGenerator, Callable
from functools import partial
from typing import Annotated, Any, Literal, Self

from fastapi import APIRouter, Query, Request, Security
from fastapi.responses import StreamingResponse
from pydantic import Field, TypeAdapter, ValidationError

from auth.keys import INFERENCE, Key
from gateway.http import errors
from gateway.http.file_upload import Upload, UploadBounds, receive_upload
from gateway.http.filenames import disposition
from gateway.request.services import Services
from gateway.request.validity import while_valid
from gateway.routes.admin.guard import BEARER, guarded
from gateway.routes.admin.problems import NOT_FOUND, PROBLEMS
from gateway.routes.objects import After, Asker, Deleted, Item, ItemList, ObjectId
from objects.files import File, list_files, read_file

Purpose = Literal["assistants", "batch", "fine-tune", "vision", "user_data", "evals"]
"""What clients may upload files for; ``batch_output`` is what batches write."""

BATCH_EXPIRY_S = 30 * 86_400
"""By OpenAI's reference, files with the purpose ``batch`` expire after 30 days unless they are told otherwise."""

MAX_PAGE = 10_000

_SECONDS = TypeAdapter(Annotated[int, Field(ge=3600, le=2_592_000)])
_PURPOSE: TypeAdapter[Purpose] = TypeAdapter(Purpose)

_FORM = {
    "requestBody": {
        "required": True,
        "content": {
            "multipart/form-data": {
                "schema": {
                    "type": "object",
                    "required": ["file", "purpose"],
                    "properties": {
                        "file": {"type": "string", "format": "binary"},
                        "purpose": {"type": "string", "enum": list(Purpose.__args__)},  # type: ignore[attr-defined]
                        "expires_after[anchor]": {"type": "string", "enum": ["created_at"]},
                        "expires_after[seconds]": {"type": "integer", "minimum": 3600, "maximum": 2_592_000},
                    },
                }
            }
        },
    }
}


class FileObject(Item):
    """A file."""

    object: Literal["file"] = "file"
    bytes: int
    created_at: int
    expires_at: int | None
    filename: str
    purpose: str
    status: Literal["processed"] = "processed"

    @classmethod
    def of(cls, file: File) -> Self:
        """Return the file as the API shows it."""
        return cls(
            id=file.id,
            bytes=file.bytes,
            created_at=int(file.created_at),
            expires_at=None if file.expires_at is None else int(file.expires_at),
            filename=file.filename,
            purpose=file.purpose,
        )


def files_router(services: Services) -> APIRouter:
    """Return the routes."""
    router = APIRouter(
        prefix="/v1/files",
        tags=["files"],
        route_class=guarded(services, INFERENCE),
        responses=PROBLEMS,
        dependencies=[Security(BEARER)],
    )
    files, settings = services.files, services.settings

    @router.post("", openapi_extra=_FORM, summary="Upload a file")
    async def upload(request: Request, key: Asker) -> FileObject:
        bounds = UploadBounds(settings.files.max_bytes, settings.files.upload_timeout_s, settings.bounds.body_timeout_s)
        async with while_valid(services.access, key), files.adding(key.project) as (new, write):
            form = await receive_upload(request.scope, request.receive, write, bounds)
            purpose, expires_after_s = _fields(form)
        return FileObject.of(
            await files.finish(new, filename=form.filename, purpose=purpose, expires_after_s=expires_after_s)
        )

    @router.get("", summary="List the project's files")
    async def list_(
        key: Asker,
        after: After = None,
        limit: Annotated[int, Query(ge=1, le=MAX_PAGE)] = MAX_PAGE,
        order: Literal["asc", "desc"] = "desc",
        purpose: Annotated[str | None, Query(max_length=40)] = None,
    ) -> ItemList[FileObject]:
        found = await list_files(
            files.store,
            key.project,
            after=after,
            limit=limit + 1,
            newest_first=order == "desc",
            purpose=purpose,
        )
        return ItemList[FileObject].of(found, limit, FileObject.of)

    @router.get("/{file_id}", responses=NOT_FOUND, summary="Show a file")
    async def show(key: Asker, file_id: ObjectId) -> FileObject:
        return FileObject.of(await read_file(files.store, key.project, file_id))

    @router.delete("/{file_id}", responses=NOT_FOUND, summary="Delete a file")
    async def delete(key: Asker, file_id: ObjectId) -> Deleted:
        await files.delete(key.project, file_id)
        return Deleted(id=file_id, object="file")

    @router.get("/{file_id}/content", responses=NOT_FOUND, response_class=StreamingResponse, summary="Download a file")
    async def content(key: Asker, file_id: ObjectId) -> StreamingResponse:
        file = await read_file(files.store, key.project, file_id)
        pieces = files.storage.read(file.id)
        first = await anext(pieces, b"")  # a storage that fails must do so before the status has left
        headers = {"content-length": str(file.bytes), "content-disposition": disposition(file.filename)}
        sent = _while_valid(partial(services.access.current, key), _joined(first, pieces))
        return StreamingResponse(sent, media_type="application/octet-stream", headers=headers)

    return router


async def _while_valid(
    current: Callable[[], Key | None], pieces: AsyncGenerator[bytes, None]
) -> AsyncGenerator[bytes, None]:
    """Yield a download's pieces until its key does not hold any more."""
    async with contextlib.aclosing(pieces):
        async for piece in pieces:
            if current() is None:
                raise errors.unauthenticated(missing=False)
            yield piece


async def _joined(first: bytes, rest: AsyncGenerator[bytes, None]) -> AsyncGenerator[bytes, None]:
    try:
        if first:
            yield first
        async for piece in rest:
            yield piece
    finally:
        await rest.aclose()


def _fields(form: Upload) -> tuple[str, int | None]:
    """Return the purpose, and the seconds after which the file expires."""
    if "purpose" not in form.fields:
        raise errors.missing_parameter("purpose")
    purpose = _checked(partial(_PURPOSE.validate_python, form.fields["purpose"]), "purpose")
    seconds = form.fields.get("expires_after[seconds]")
    if seconds is None:
        return purpose, BATCH_EXPIRY_S if purpose == "batch" else None
    if form.fields.get("expires_after[anchor]") != "created_at":
        raise errors.invalid_value("expires_after.anchor", "'expires_after.anchor' must be 'created_at'.")
    return purpose, _checked(partial(_SECONDS.validate_strings, seconds), "expires_after.seconds")


def _checked(validate: Any, param: str) -> Any:
    try:
        return validate()
    except ValidationError as error:
        found = error.errors(include_input=False, include_url=False)[0]
        raise errors.invalid_value(param, f"Invalid value for '{param}': {found['msg']}.") from None
