"""The body of ``POST /v1/chat/completions``, checked before an engine sees it.

Fields as in OpenAI's API reference; a field that is not named here goes to the engine as it came.
"""

from typing import Annotated, Any, Literal

import orjson
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from gateway import errors
from gateway.settings import Bounds

Metadata = Annotated[
    dict[Annotated[str, Field(max_length=64)], Annotated[str, Field(max_length=512)]], Field(max_length=16)
]


class _Strict(BaseModel):
    model_config = ConfigDict(strict=True, extra="allow", frozen=True)


class ContentPart(_Strict):
    """One part of a message's content."""

    type: str


class ChatMessage(_Strict):
    """One message of the conversation."""

    role: Literal["system", "developer", "user", "assistant", "tool", "function"]
    content: str | list[ContentPart] | None = None
    name: str | None = None
    tool_calls: list[dict[str, Any]] | None = None
    tool_call_id: str | None = None


class StreamOptions(_Strict):
    """What a stream carries besides its deltas."""

    include_usage: bool | None = None


class ChatBody(_Strict):
    """The fields that Raygate itself checks."""

    model: str | None = Field(default=None, min_length=1, max_length=256)
    messages: list[ChatMessage] = Field(min_length=1)
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    max_tokens: int | None = Field(default=None, ge=1, le=2**31)
    max_completion_tokens: int | None = Field(default=None, ge=1, le=2**31)
    temperature: float | None = Field(default=None, ge=0, le=2)
    top_p: float | None = Field(default=None, gt=0, le=1)
    n: int | None = Field(default=None, ge=1)
    stop: str | Annotated[list[str], Field(max_length=4)] | None = None
    seed: int | None = Field(default=None, ge=-(2**63), lt=2**63)
    presence_penalty: float | None = Field(default=None, ge=-2, le=2)
    frequency_penalty: float | None = Field(default=None, ge=-2, le=2)
    logit_bias: dict[str, Annotated[float, Field(ge=-100, le=100)]] | None = Field(default=None, max_length=1024)
    logprobs: bool | None = None
    top_logprobs: int | None = Field(default=None, ge=0, le=20)
    tools: list[dict[str, Any]] | None = None
    response_format: dict[str, Any] | None = None
    user: str | None = Field(default=None, max_length=512)
    cache_salt: str | None = Field(default=None, min_length=1, max_length=512)
    metadata: Metadata | None = None


def parse_chat(payload: dict[str, Any], bounds: Bounds) -> ChatBody:
    """Return the checked fields of a chat request.

    Raises:
        ApiError: 400, naming the field as a dotted path.
    """
    try:
        body = ChatBody.model_validate(payload)
    except ValidationError as error:
        raise errors.from_validation(error.errors(include_input=False, include_url=False)) from None
    if len(body.messages) > bounds.max_messages:
        raise errors.invalid_value("messages", f"'messages' has more than {bounds.max_messages} entries.")
    if (body.n or 1) > bounds.max_choices:
        raise errors.invalid_value("n", f"'n' is more than {bounds.max_choices}.")
    if body.stream_options is not None and not body.stream:
        raise errors.invalid_value("stream_options", "'stream_options' is only allowed when 'stream' is true.")
    if body.top_logprobs and not body.logprobs:
        raise errors.invalid_value("top_logprobs", "'top_logprobs' requires 'logprobs' to be true.")
    stops = [body.stop] if isinstance(body.stop, str) else body.stop or []
    if any(len(stop.encode()) > bounds.max_stop_bytes for stop in stops):
        raise errors.invalid_value("stop", f"A stop sequence is longer than {bounds.max_stop_bytes} bytes.")
    _check_schemas(body, bounds)
    return body


def _check_schemas(body: ChatBody, bounds: Bounds) -> None:
    if body.tools and len(body.tools) > bounds.max_tools:
        raise errors.invalid_value("tools", f"'tools' has more than {bounds.max_tools} entries.")
    for name, value in (("tools", body.tools), ("response_format", body.response_format)):
        if value and len(orjson.dumps(value)) > bounds.max_schema_bytes:
            raise errors.invalid_value(name, f"'{name}' is larger than {bounds.max_schema_bytes} bytes.")
