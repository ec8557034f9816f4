"""``POST /v1/responses``: fields as in OpenAI's API reference. What is made of them is in ``gateway.responses``."""

from collections.abc import Sequence
from typing import Annotated, Any

from pydantic import Field

from gateway import paths
from gateway.config.settings import Bounds
from gateway.endpoints.call import Call
from gateway.endpoints.fields import Metadata, Model, Strict, check_size, checked
from gateway.endpoints.responses.form import ResponseForm
from gateway.endpoints.responses.items import as_items, history, prompt_of
from gateway.endpoints.responses.turn import Turn
from gateway.http import errors
from objects.responses import StoredResponse


class ResponseBody(Strict):
    """The fields that Raygate itself checks; the engine checks the others."""

    model: Model | None = None
    input: str | list[dict[str, Any]] = Field(min_length=1)
    instructions: str | None = None
    previous_response_id: str | None = None
    store: bool | None = None
    background: bool | None = None
    stream: bool | None = None
    max_output_tokens: int | None = Field(default=None, ge=1, le=2**31)
    temperature: float | None = Field(default=None, ge=0, le=2)
    top_p: float | None = Field(default=None, gt=0, le=1)
    top_logprobs: int | None = Field(default=None, ge=0, le=20)
    parallel_tool_calls: bool | None = None
    tools: list[dict[str, Any]] | None = None
    text: dict[str, Any] | None = None
    metadata: Metadata | None = None
    user: str | None = Field(default=None, max_length=512)
    cache_salt: str | None = Field(default=None, min_length=1, max_length=512)
    max_tool_calls: Annotated[int, Field(ge=1)] | None = None


def check_response(payload: dict[str, Any], bounds: Bounds) -> ResponseBody:
    """Return the checked fields of a request for a response.

    Raises:
        ApiError: 400, naming the field as a dotted path.
    """
    body = checked(ResponseBody, payload)
    for name in ("conversation", "prompt"):
        if payload.get(name) is not None:
            raise errors.unsupported_parameter(name, "Continue a conversation with 'previous_response_id'.")
    if body.background and body.store is False:
        raise errors.invalid_value("background", "A response in the background is stored: 'store' cannot be false.")
    if body.background and body.stream:
        raise errors.unsupported_parameter("stream", "A response in the background is retrieved once it has ended.")
    if body.tools and len(body.tools) > bounds.max_tools:
        raise errors.invalid_value("tools", f"'tools' has more than {bounds.max_tools} entries.")
    check_size("tools", body.tools, bounds.max_schema_bytes)
    check_size("text", body.text, bounds.max_schema_bytes)
    return body


def call_of(body: ResponseBody, payload: dict[str, Any], turn: Turn, before: Sequence[StoredResponse]) -> Call:
    """Return the call that an engine is sent: the whole conversation, for engines remember nothing.

    Args:
        body: the checked fields.
        payload: all fields.
        turn: the response that it makes.
        before: the conversation so far.
    """
    items = [*history(before), *as_items(body.input)]
    is_streamed = bool(body.stream or body.background)
    sent = {name: value for name, value in payload.items() if name not in {"background", "previous_response_id"}}
    sent |= {"input": items if before else body.input, "store": False, "stream": is_streamed}
    return Call(
        path=paths.RESPONSES,
        form=ResponseForm(turn),
        model=body.model,
        payload=sent,
        prompt=prompt_of(body.instructions, items, body.tools),
        prompt_field="input",
        stream=is_streamed,
        max_tokens=body.max_output_tokens,
        user=body.user,
        metadata=body.metadata,
    )
