"""A multipart request: fields and one file, within bounds that are checked while it arrives (RFC 7578)."""

import asyncio
import secrets
from dataclasses import dataclass
from typing import Any

from starlette.datastructures import Headers, UploadFile
from starlette.formparsers import MultiPartException, MultiPartParser
from starlette.types import Receive, Scope

from gateway.config.settings import Bounds
from gateway.http import errors
from gateway.http.body import chunks_of
from gateway.http.filenames import plain_name

_MAX_FIELDS = 32
_MAX_FIELD_BYTES = 64 * 2**10


@dataclass(frozen=True)
class Upload:
    """What came.

    Attributes:
        fields: the texts; a name that came several times, or that ends in ``[]``, has a list.
        file: the bytes of the field ``file``.
        filename: as the client calls it, for engines that tell formats by it; never a path.
    """

    fields: dict[str, Any]
    file: bytes
    filename: str

    def encoded(self, model: str) -> tuple[str, bytes]:
        """Return the content type and the body of the same request for the engine of ``model``."""
        boundary = secrets.token_hex(16)
        parts = [_part(boundary, f'name="file"; filename="{self.filename}"', self.file)]
        for name, value in {**self.fields, "model": model}.items():
            for one in value if isinstance(value, list) else [value]:
                parts.append(_part(boundary, f'name="{name}"', str(one).encode()))
        return f"multipart/form-data; boundary={boundary}", b"".join(parts) + f"--{boundary}--\r\n".encode()


async def read_upload(scope: Scope, receive: Receive, bounds: Bounds) -> Upload:
    """Return a multipart request's fields and file.

    Raises:
        ApiError: 400, 413 or 415.
        ClientGone: when nobody waits for an answer any more.
    """
    headers = Headers(scope=scope)
    if not headers.get("content-type", "").lower().startswith("multipart/form-data"):
        raise errors.unsupported_media_type("multipart/form-data")
    try:
        async with asyncio.timeout(bounds.body_timeout_s):
            return await _parsed(headers, receive, bounds)
    except TimeoutError:
        raise errors.body_too_slow(bounds.body_timeout_s) from None
    except MultiPartException:
        raise errors.invalid_value(None, "The request body is no multipart/form-data, or has too many parts.") from None


async def _parsed(headers: Headers, receive: Receive, bounds: Bounds) -> Upload:
    parser = MultiPartParser(
        headers,
        chunks_of(receive, bounds.max_upload_bytes),
        max_files=1,
        max_fields=_MAX_FIELDS,
        max_part_size=_MAX_FIELD_BYTES,
    )
    form = await parser.parse()
    try:
        file = form.get("file")
        if not isinstance(file, UploadFile):
            raise errors.missing_parameter("file")
        texts = [(name, value) for name, value in form.multi_items() if isinstance(value, str)]
        fields: dict[str, Any] = {}
        for name, value in texts:
            if not name.removesuffix("[]").isidentifier():
                raise errors.invalid_value(None, "A field's name is not one of the API's.")
            if name.endswith("[]") or name in fields:
                fields[name] = [*_list(fields.get(name)), value]
            else:
                fields[name] = value
        return Upload(fields, await file.read(), _quotable(plain_name(file.filename or "")))
    finally:
        await form.close()


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [] if value is None else [value]


def _part(boundary: str, disposition: str, body: bytes) -> bytes:
    return f"--{boundary}\r\nContent-Disposition: form-data; {disposition}\r\n\r\n".encode() + body + b"\r\n"


def _quotable(filename: str) -> str:
    """Return a name that can stand between quotes in a header of ours."""
    return "".join(char for char in filename if char.isascii() and (char.isalnum() or char in "._-")) or "file"
