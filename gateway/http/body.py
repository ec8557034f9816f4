"""From bytes to a JSON object, within bounds that are checked before anything is built from them."""

import asyncio
import codecs
from collections.abc import AsyncGenerator
from typing import Any

import orjson
from starlette.types import Receive, Scope

from gateway.config.settings import Bounds
from gateway.http import errors


class ClientGone(Exception):
    """The client closed its connection before its request was complete."""


async def read_json(scope: Scope, receive: Receive, bounds: Bounds) -> dict[str, Any]:
    """Return the request's body, a JSON object.

    Raises:
        ApiError: 400, 413 or 415.
        ClientGone: when nobody waits for an answer any more.
    """
    headers = dict(scope["headers"])
    media_type = headers.get(b"content-type", b"application/json").partition(b";")[0].strip().lower()
    if media_type != b"application/json":
        raise errors.unsupported_media_type()
    announced = headers.get(b"content-length", b"0")
    if announced.isdigit() and int(announced) > bounds.max_body_bytes:
        raise errors.too_large(bounds.max_body_bytes)
    try:
        async with asyncio.timeout(bounds.body_timeout_s):
            raw = b"".join([chunk async for chunk in chunks_of(receive, bounds.max_body_bytes)])
    except TimeoutError:
        raise errors.body_too_slow(bounds.body_timeout_s) from None
    return parse_object(raw, bounds.max_json_depth)


def parse_object(raw: bytes, max_depth: int) -> dict[str, Any]:
    """Return the JSON object in ``raw``.

    Raises:
        ApiError: 400, when it is no JSON, no object, or nested deeper than ``max_depth``.
    """
    raw = raw.removeprefix(codecs.BOM_UTF8)  # which a parser may pass over (RFC 8259, 8.1)
    try:
        parsed = orjson.loads(raw)  # refuses invalid UTF-8, NaN, and more than 1024 levels
    except orjson.JSONDecodeError:
        raise errors.invalid_json() from None
    if not isinstance(parsed, dict):
        raise errors.invalid_value(None, "The request body must be a JSON object.")
    # Counting brackets is quick, and proves most bodies shallow.
    if raw.count(b"{") + raw.count(b"[") > max_depth and _depth_exceeds(parsed, max_depth):
        raise errors.invalid_value(None, f"The request body is nested deeper than the limit of {max_depth} levels.")
    return parsed


async def chunks_of(receive: Receive, limit: int) -> AsyncGenerator[bytes, None]:
    """Yield a request's body as it arrives.

    Raises:
        ApiError: 413, as soon as more than ``limit`` bytes have come.
        ClientGone: the client left in the middle.
    """
    size = 0
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise ClientGone
        chunk = message.get("body", b"")
        size += len(chunk)
        if size > limit:
            raise errors.too_large(limit)
        yield chunk
        if not message.get("more_body", False):
            return


def _depth_exceeds(parsed: Any, limit: int) -> bool:
    level = [parsed]
    for _ in range(limit):
        inner: list[Any] = []
        for value in level:
            if isinstance(value, dict):
                inner.extend(value.values())
            elif isinstance(value, list):
                inner.extend(value)
        level = [value for value in inner if isinstance(value, dict | list)]
        if not level:
            return False
    return True
