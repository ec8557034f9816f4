"""``POST /v1/chat/completions``: fields as in OpenAI's API reference."""

from collections.abc import Iterator
from typing import Annotated, Any, Literal

import orjson
from pydantic import Field

from gateway import paths
from gateway.answers import mend
from gateway.answers.choices import ChatStream
from gateway.answers.relay import usage_of
from gateway.config.settings import Bounds
from gateway.endpoints.call import Call, Prompt, Whole, is_text, texts_of
from gateway.endpoints.closed import EXTENSION, Dropped, Engines, Flag, Strict, checked, forwarded
from gateway.endpoints.fields import Metadata, Sampled, Tools, check_sampled, check_tools, templated, with_usage
from gateway.http import errors

_NO_TEXT = frozenset({"role", "content", "tool_call_id"})


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
    """The fields of a chat: all that it may have."""

    messages: list[ChatMessage] = Field(min_length=1)
    max_tokens: int | None = Field(default=None, ge=1, le=2**31)
    max_completion_tokens: int | None = Field(default=None, ge=1, le=2**31)
    logprobs: bool | None = None
    top_logprobs: int | None = Field(default=None, ge=0, le=20)
    tools: Tools = None
    tool_choice: Engines = None
    parallel_tool_calls: Engines = None
    functions: Engines = None
    function_call: Engines = None
    reasoning_effort: Engines = None
    verbosity: Engines = None
    modalities: Engines = None
    audio: Engines = None
    prediction: Engines = None
    moderation: Engines = None
    web_search_options: Engines = None
    service_tier: Engines = None
    store: Engines = None
    metadata: Metadata | None = None
    safety_identifier: Engines = None
    prompt_cache_key: Engines = None
    prompt_cache_retention: Engines = None
    prompt_cache_options: Engines = None
    client_metadata: Dropped = None
    documents: Annotated[list[dict[str, Any]] | None, EXTENSION] = None
    add_generation_prompt: Flag = None
    continue_final_message: Flag = None
    echo: Flag = None


class ChatForm:
    """A ``chat.completion``, or a stream of ``chat.completion.chunk``."""

    salted = True

    def whole(self, answer: dict[str, Any]) -> Whole:
        """Read an answer that came whole."""
        choices = answer.get("choices") or [{}]
        said = (text for choice in choices for text in _texts(choice.get("message") or {}))
        return Whole(mend.completion(answer), usage_of(answer), choices[-1].get("finish_reason"), said)

    def stream(self, call: Call) -> ChatStream:
        """Return the reader of a streamed answer."""
        return ChatStream(call.include_usage, openings=call.choices)


def parse_chat(payload: dict[str, Any], bounds: Bounds) -> Call:
    """Return the call that a chat request is.

    Raises:
        ApiError: 400, naming the field as a dotted path.
    """
    body = checked(ChatBody, payload, bounds)
    check_sampled(body, bounds)
    if len(body.messages) > bounds.max_messages:
        raise errors.invalid_value("messages", f"'messages' has more than {bounds.max_messages} entries.")
    if body.top_logprobs and not body.logprobs:
        raise errors.invalid_value("top_logprobs", "'top_logprobs' requires 'logprobs' to be true.")
    check_tools(body.tools, bounds)
    sent = with_usage(forwarded(ChatBody, payload))
    if body.max_completion_tokens is not None:
        sent.pop("max_tokens", None)  # it does not count, and a server elsewhere may think otherwise
    return Call(
        path=paths.CHAT,
        form=ChatForm(),
        model=body.model,
        payload=sent,
        prompt=_prompt(sent),
        stream=bool(body.stream),
        include_usage=body.include_usage,
        max_tokens=body.max_completion_tokens or body.max_tokens,
        max_tokens_field="max_completion_tokens",
        choices=body.n or 1,
        user=body.user,
        metadata=body.metadata,
    )


def _prompt(sent: dict[str, Any]) -> Prompt:
    tools = [*sent.get("tools", ()), *_functions(sent)]
    messages = sent["messages"]
    texts = (*(text for message in messages for text in _texts(message)), *templated(sent))
    text_alone = all(is_text(message.get("content")) for message in messages)
    return Prompt(texts, tools=orjson.dumps(tools).decode() if tools else "", messages=messages, is_text=text_alone)


def _functions(sent: dict[str, Any]) -> list[Any]:
    """Return what older clients call their tools."""
    functions = sent.get("functions")
    return functions if isinstance(functions, list) else []


def _texts(message: dict[str, Any]) -> Iterator[str]:
    yield from texts_of(message.get("content"))
    # Calls, thoughts, and whatever else a model's template may know of a message.
    if others := {name: value for name, value in message.items() if value and name not in _NO_TEXT}:
        yield orjson.dumps(others).decode()
