"""``POST /v1/chat/completions``: fields as in OpenAI's API reference."""

from collections.abc import Iterator
from typing import Any, Literal

import orjson
from pydantic import Field

from gateway import paths
from gateway.answers import mend
from gateway.answers.choices import ChatStream
from gateway.answers.relay import usage_of
from gateway.config.settings import Bounds
from gateway.endpoints.call import Call, Prompt, Whole, texts_of
from gateway.endpoints.fields import Metadata, Sampled, Strict, check_sampled, check_size, checked, with_usage
from gateway.http import errors


class ContentPart(Strict):
    """One part of a message's content."""

    type: str


class ChatMessage(Strict):
    """One message of the conversation."""

    role: Literal["system", "developer", "user", "assistant", "tool", "function"]
    content: str | list[ContentPart] | None = None
    name: str | None = None
    tool_calls: list[dict[str, Any]] | None = None
    tool_call_id: str | None = None


class ChatBody(Sampled):
    """The fields that Raygate itself checks."""

    messages: list[ChatMessage] = Field(min_length=1)
    max_tokens: int | None = Field(default=None, ge=1, le=2**31)
    max_completion_tokens: int | None = Field(default=None, ge=1, le=2**31)
    logprobs: bool | None = None
    top_logprobs: int | None = Field(default=None, ge=0, le=20)
    tools: list[dict[str, Any]] | None = None
    response_format: dict[str, Any] | None = None
    metadata: Metadata | None = None


class ChatForm:
    """A ``chat.completion``, or a stream of ``chat.completion.chunk``."""

    salted = True

    def whole(self, answer: dict[str, Any]) -> Whole:
        """Read an answer that came whole."""
        choices = answer.get("choices") or [{}]
        return Whole(mend.completion(answer), usage_of(answer), choices[-1].get("finish_reason"))

    def stream(self, call: Call) -> ChatStream:
        """Return the reader of a streamed answer."""
        return ChatStream(call.include_usage, openings=call.choices)


def parse_chat(payload: dict[str, Any], bounds: Bounds) -> Call:
    """Return the call that a chat request is.

    Raises:
        ApiError: 400, naming the field as a dotted path.
    """
    body = checked(ChatBody, payload)
    check_sampled(body, bounds)
    if len(body.messages) > bounds.max_messages:
        raise errors.invalid_value("messages", f"'messages' has more than {bounds.max_messages} entries.")
    if body.top_logprobs and not body.logprobs:
        raise errors.invalid_value("top_logprobs", "'top_logprobs' requires 'logprobs' to be true.")
    if body.tools and len(body.tools) > bounds.max_tools:
        raise errors.invalid_value("tools", f"'tools' has more than {bounds.max_tools} entries.")
    check_size("tools", body.tools, bounds.max_schema_bytes)
    check_size("response_format", body.response_format, bounds.max_schema_bytes)
    return Call(
        path=paths.CHAT,
        form=ChatForm(),
        model=body.model,
        payload=with_usage(payload),
        prompt=_prompt(payload),
        stream=bool(body.stream),
        include_usage=body.include_usage,
        max_tokens=body.max_completion_tokens or body.max_tokens,
        choices=body.n or 1,
        user=body.user,
        metadata=body.metadata,
    )


def _prompt(payload: dict[str, Any]) -> Prompt:
    tools = payload.get("tools")
    messages = payload["messages"]
    texts = tuple(text for message in messages for text in _texts(message))
    return Prompt(texts, tools=orjson.dumps(tools).decode() if tools else "", messages=messages)


def _texts(message: dict[str, Any]) -> Iterator[str]:
    yield from texts_of(message.get("content"))
    if calls := message.get("tool_calls"):
        yield orjson.dumps(calls).decode()
