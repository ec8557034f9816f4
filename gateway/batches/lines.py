"""A line of a batch's input: what it must be, and the call that it makes."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import orjson
from pydantic import BaseModel, ConfigDict, Field

from gateway import paths
from gateway.config.settings import Bounds, UnknownFields
from gateway.endpoints.call import Call
from gateway.endpoints.chat import ChatBody, parse_chat
from gateway.endpoints.closed import Closed, validated, without_unknown
from gateway.endpoints.completions import CompletionBody, parse_completion
from gateway.endpoints.embeddings import EmbeddingBody, parse_embedding
from gateway.endpoints.responses.body import ResponseBody, check_response
from gateway.http import errors
from gateway.http.body import parse_object

_PARSERS: dict[str, Callable[[dict[str, Any], Bounds], Call]] = {
    paths.CHAT: parse_chat,
    paths.COMPLETIONS: parse_completion,
    paths.EMBEDDINGS: parse_embedding,
}
_BODIES: dict[str, type[Closed]] = {
    paths.CHAT: ChatBody,
    paths.COMPLETIONS: CompletionBody,
    paths.EMBEDDINGS: EmbeddingBody,
    paths.RESPONSES: ResponseBody,
}

ENDPOINTS = (*_PARSERS, paths.RESPONSES)
"""Those that batches may ask."""

ENVELOPE_BYTES = 4096
"""What a line may have beside its body, which is as large as any request's at most."""

_LONG_BYTES = 16 * 1024
"""Longer lines are worth a thread."""


class LineBody(BaseModel):
    """A line, as OpenAI's API reference has it."""

    model_config = ConfigDict(strict=True, frozen=True)

    custom_id: str = Field(min_length=1, max_length=512)
    method: Literal["POST"]
    url: str
    body: dict[str, Any]


@dataclass(frozen=True)
class Line:
    """A line that is right.

    Attributes:
        custom_id: what its owner knows its result by.
        model: the name that it asks for, if it does.
        body: the request's, without what is dropped.
        call: what that asks; ``None`` for a response, where it depends on the conversation that it continues.
        inputs: how many texts it has embedded; 0 for other endpoints.
    """

    custom_id: str
    model: str | None
    body: dict[str, Any]
    call: Call | None
    inputs: int


def parse_line(raw: bytes, endpoint: str, bounds: Bounds, unknown_fields: UnknownFields = "refuse") -> Line:
    """Return what a line asks.

    Args:
        raw: the line without its end.
        endpoint: the batch's.
        bounds: of each line's body, as of any request's.
        unknown_fields: what becomes of fields that the endpoint does not have.

    Raises:
        ApiError: 400; its ``param`` is a dotted path within the line.
    """
    # The line's own object is one level more than a body has.
    line = validated(LineBody, parse_object(raw, bounds.max_json_depth + 1))
    if line.url != endpoint:
        raise errors.invalid_value("url", "'url' must be the batch's endpoint.")
    for name in ("stream", "background"):
        if line.body.get(name):
            raise errors.unsupported_parameter(f"body.{name}", "The lines of a batch are answered whole.")
    body = without_unknown(_BODIES[endpoint], line.body)[0] if unknown_fields == "drop" else line.body
    try:
        call = None if endpoint == paths.RESPONSES else _PARSERS[endpoint](body, bounds)
        model = call.model if call else check_response(body, bounds).model
    except errors.ApiError as error:
        raise errors.within("body", error) from None
    return Line(line.custom_id, model, body, call, _inputs(body) if endpoint == paths.EMBEDDINGS else 0)


async def parse_aside(raw: bytes, endpoint: str, bounds: Bounds, unknown_fields: UnknownFields) -> Line:
    """Do as ``parse_line``, in a thread if it takes long: the gateway's other requests wait for it no longer."""
    if len(raw) > _LONG_BYTES:
        return await asyncio.to_thread(parse_line, raw, endpoint, bounds, unknown_fields)
    return parse_line(raw, endpoint, bounds, unknown_fields)


def custom_id_of(raw: bytes | None) -> str | None:
    """Return what a line's owner knows it by, however little else of it is right; ``None`` stands for one too long."""
    try:
        line = orjson.loads(raw or b"")
    except orjson.JSONDecodeError:
        return None
    custom_id = line.get("custom_id") if isinstance(line, dict) else None
    return custom_id if isinstance(custom_id, str) else None


def _inputs(body: dict[str, Any]) -> int:
    given = body["input"]
    return len(given) if isinstance(given, list) and not isinstance(given[0], int) else 1
