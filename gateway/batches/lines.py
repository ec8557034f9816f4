"""A line of a batch's input: what it must be, and the call that it makes."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from gateway import errors, paths
from gateway.body import parse_object
from gateway.call import Call
from gateway.endpoints.chat import parse_chat
from gateway.endpoints.completions import parse_completion
from gateway.endpoints.embeddings import parse_embedding
from gateway.endpoints.fields import checked
from gateway.settings import Bounds

PARSERS: dict[str, Callable[[dict[str, Any], Bounds], Call]] = {
    paths.CHAT: parse_chat,
    paths.COMPLETIONS: parse_completion,
    paths.EMBEDDINGS: parse_embedding,
}
"""The endpoints that batches may ask."""

ENVELOPE_BYTES = 4096
"""What a line may have beside its body, which is as large as any request's at most."""


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
        call: what it asks.
        inputs: how many texts it has embedded; 0 for other endpoints.
    """

    custom_id: str
    call: Call
    inputs: int


def parse_line(raw: bytes, endpoint: str, bounds: Bounds) -> Line:
    """Return what a line asks.

    Args:
        raw: the line without its end.
        endpoint: the batch's.
        bounds: of each line's body, as of any request's.

    Raises:
        ApiError: 400; its ``param`` is a dotted path within the line.
    """
    # The line's own object is one level more than a body has.
    line = checked(LineBody, parse_object(raw, bounds.max_json_depth + 1))
    if line.url != endpoint:
        raise errors.invalid_value("url", "'url' must be the batch's endpoint.")
    if line.body.get("stream"):
        raise errors.unsupported_parameter("body.stream", "The lines of a batch are answered whole.")
    try:
        call = PARSERS[endpoint](line.body, bounds)
    except errors.ApiError as error:
        raise errors.within("body", error) from None
    return Line(line.custom_id, call, _inputs(line.body) if endpoint == paths.EMBEDDINGS else 0)


def _inputs(body: dict[str, Any]) -> int:
    given = body["input"]
    return len(given) if isinstance(given, list) and not isinstance(given[0], int) else 1
