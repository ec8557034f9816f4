"""``POST /v1/messages`` and ``POST /v1/messages/count_tokens``: Anthropic's API, as its reference has it."""

from collections.abc import Iterator
from typing import Annotated, Any, Literal

import orjson
from pydantic import Field

from auth.usage import NOTHING
from gateway import paths
from gateway.answers.messages import MessageStream, usage_of_message
from gateway.config.settings import Bounds
from gateway.endpoints.call import Call, Prompt, Whole, is_text, texts_of
from gateway.endpoints.closed import Closed, Dropped, Engines, Object, Strict, checked, forwarded
from gateway.endpoints.fields import Model, Salt, Tools, check_tools, templated
from gateway.endpoints.pooled import UNCOUNTED
from gateway.http import errors


class Block(Strict):
    """One part of a message's content."""

    type: str


class Message(Strict):
    """One turn of the conversation."""

    role: Literal["user", "assistant", "system"]
    content: str | list[Block]


class CountBody(Closed):
    """A conversation whose tokens are to be counted."""

    model: Model
    messages: list[Message] = Field(min_length=1)
    system: str | list[Block] | None = None
    tools: Tools = None
    tool_choice: Engines = None
    thinking: Engines = None
    output_config: Engines = None
    cache_control: Dropped = None
    context_management: Dropped = None
    speed: Dropped = None
    chat_template_kwargs: Object = None


class Metadata(Strict):
    """``metadata`` in Anthropic's API."""

    user_id: str | None = Field(default=None, max_length=512)


class MessagesBody(CountBody):
    """The fields of a message: all that it may have."""

    max_tokens: int = Field(ge=1, le=2**31)
    stream: bool | None = None
    temperature: float | None = Field(default=None, ge=0, le=1)
    top_p: float | None = Field(default=None, gt=0, le=1)
    top_k: int | None = Field(default=None, ge=0, le=2**31)
    stop_sequences: Annotated[list[str], Field(max_length=16)] | None = None
    metadata: Metadata | None = None
    service_tier: Dropped = None
    inference_geo: Dropped = None
    mcp_servers: Annotated[list[Any] | None, Field(max_length=0)] = None
    container: None = None
    cache_salt: Salt | None = None


class MessagesForm:
    """A ``message``, whole or as a stream of its parts."""

    salted = True

    def whole(self, answer: dict[str, Any]) -> Whole:
        """Read an answer that came whole."""
        counted = usage_of_message(answer.get("usage"))
        # Anthropic's own answers have the field whether or not a sequence stopped them.
        body = {"stop_sequence": None, **answer}
        return Whole(
            body, counted if counted != NOTHING else None, answer.get("stop_reason"), texts_of(answer.get("content"))
        )

    def stream(self, call: Call) -> MessageStream:
        """Return the reader of a streamed answer."""
        del call
        return MessageStream()


def parse_messages(payload: dict[str, Any], bounds: Bounds) -> Call:
    """Return the call that a message request is.

    Raises:
        ApiError: 400, naming the field as a dotted path.
    """
    body = checked(MessagesBody, payload, bounds)
    _check_conversation(body, bounds)
    if any(len(stop.encode()) > bounds.max_stop_bytes for stop in body.stop_sequences or []):
        raise errors.invalid_value("stop_sequences", f"A stop sequence is longer than {bounds.max_stop_bytes} bytes.")
    sent = forwarded(MessagesBody, payload)
    return Call(
        path=paths.MESSAGES,
        form=MessagesForm(),
        model=body.model,
        payload=sent,
        prompt=_prompt(sent),
        stream=bool(body.stream),
        max_tokens=body.max_tokens,
        user=body.metadata.user_id if body.metadata else None,
    )


def parse_count(payload: dict[str, Any], bounds: Bounds) -> Call:
    """Return the call that a request to count tokens is.

    Raises:
        ApiError: 400, naming the field as a dotted path.
    """
    body = checked(CountBody, payload, bounds)
    _check_conversation(body, bounds)
    sent = forwarded(CountBody, payload)
    return Call(path=paths.COUNT_TOKENS, form=UNCOUNTED, model=body.model, payload=sent, max_tokens=0)


def _check_conversation(body: CountBody, bounds: Bounds) -> None:
    if len(body.messages) > bounds.max_messages:
        raise errors.invalid_value("messages", f"'messages' has more than {bounds.max_messages} entries.")
    check_tools(body.tools, bounds)


def _prompt(payload: dict[str, Any]) -> Prompt:
    tools = payload.get("tools")
    messages = payload["messages"]
    system = [{"role": "system"}] if payload.get("system") else []
    return Prompt(
        texts=tuple(_texts(payload)),
        tools=orjson.dumps(tools).decode() if tools else "",
        messages=[*system, *messages],
        is_text=all(is_text(message["content"]) for message in messages),
    )


def _texts(payload: dict[str, Any]) -> Iterator[str]:
    yield from texts_of(payload.get("system"))
    yield from templated(payload)
    for message in payload["messages"]:
        yield from texts_of(message["content"])
