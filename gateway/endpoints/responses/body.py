"""``POST /v1/responses``: fields as in OpenAI's API reference. What is made of them is in ``gateway.responses``."""

from collections.abc import Sequence
from typing import Annotated, Any

from pydantic import Field

from gateway import paths
from gateway.config.settings import Bounds
from gateway.endpoints.call import Call
from gateway.endpoints.closed import SIZED, Dropped, Engines, checked, forwarded
from gateway.endpoints.fields import Metadata, Model, Sampling, Tools, check_stop, check_tools
from gateway.endpoints.responses.form import ResponseForm
from gateway.endpoints.responses.items import as_items, history, prompt_of
from gateway.endpoints.responses.turn import Turn
from gateway.http import errors
from objects.responses import StoredResponse


class ResponseBody(Sampling):
    """The fields of a request for a response: all that it may have."""

    model: Model | None = None
    input: str | list[dict[str, Any]] = Field(min_length=1)
    instructions: str | None = None
    previous_response_id: str | None = None
    store: bool | None = None
    background: bool | None = None
    stream: bool | None = None
    max_output_tokens: int | None = Field(default=None, ge=1, le=2**31)
    top_logprobs: int | None = Field(default=None, ge=0, le=20)
    parallel_tool_calls: bool | None = None
    tools: Tools = None
    tool_choice: Engines = None
    text: Annotated[dict[str, Any] | None, SIZED] = None
    metadata: Metadata | None = None
    max_tool_calls: Annotated[int, Field(ge=1)] | None = None
    include: Engines = None
    reasoning: Engines = None
    stream_options: Engines = None
    truncation: Engines = None
    service_tier: Engines = None
    safety_identifier: Engines = None
    prompt_cache_key: Engines = None
    prompt_cache_retention: Engines = None
    prompt_cache_options: Engines = None
    conversation: Any = None
    prompt: Any = None
    context_management: Dropped = None
    client_metadata: Dropped = None


def check_response(payload: dict[str, Any], bounds: Bounds) -> ResponseBody:
    """Return the checked fields of a request for a response.

    Raises:
        ApiError: 400, naming the field as a dotted path.
    """
    body = checked(ResponseBody, payload, bounds)
    for name in ("conversation", "prompt"):
        if payload.get(name) is not None:
            raise errors.unsupported_parameter(name, "Continue a conversation with 'previous_response_id'.")
    if body.background and body.store is False:
        raise errors.invalid_value("background", "A response in the background is stored: 'store' cannot be false.")
    if body.background and body.stream:
        raise errors.unsupported_parameter("stream", "A response in the background is retrieved once it has ended.")
    check_tools(body.tools, bounds)
    check_stop(body, bounds)
    return body


def call_of(body: ResponseBody, payload: dict[str, Any], turn: Turn, before: Sequence[StoredResponse]) -> Call:
    """Return the call that an engine is sent: the whole conversation, for engines remember nothing.

    Args:
        body: the checked fields.
        payload: all fields, as they came.
        turn: the response that it makes.
        before: the conversation so far.
    """
    items = [*history(before), *as_items(body.input)]
    is_streamed = bool(body.stream or body.background)
    listed = forwarded(ResponseBody, payload)
    sent = {name: value for name, value in listed.items() if name not in {"background", "previous_response_id"}}
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
        max_tokens_field="max_output_tokens",
        user=body.user,
        metadata=body.metadata,
    )
