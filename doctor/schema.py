"""OpenAI's published schema, by way of the openai SDK, whose types are generated from it and are read strictly here.

The SDK makes optional what may be null; fields that the schema requires all the same are listed beside the types.
"""

from collections.abc import Iterator, Mapping
from functools import cache
from typing import Any, get_args

from openai.types import Completion, CreateEmbeddingResponse, Model
from openai.types.chat import ChatCompletion, ChatCompletionChunk
from openai.types.responses import Response, ResponseStreamEvent
from pydantic import BaseModel, ValidationError

TYPES: Mapping[str, type[BaseModel]] = {
    "chat.completion": ChatCompletion,
    "chat.completion.chunk": ChatCompletionChunk,
    "text_completion": Completion,
    "text_completion.chunk": Completion,
    "embeddings.float": CreateEmbeddingResponse,
    "embeddings.base64": CreateEmbeddingResponse,
    "model": Model,
    "response": Response,
}

REQUIRED: Mapping[str, tuple[str, ...]] = {
    "chat.completion": ("choices.*.logprobs", "choices.*.message.content", "choices.*.message.refusal"),
    "chat.completion.chunk": ("choices.*.finish_reason",),
    "text_completion": ("choices.*.logprobs",),
    "text_completion.chunk": ("choices.*.logprobs", "choices.*.finish_reason"),
    "response": ("error", "incomplete_details", "instructions", "metadata", "temperature", "top_p"),
}
"""Fields that must be there, null or not."""

KNOWN_BETTER: Mapping[str, tuple[str, ...]] = {
    "text_completion": ("choices.*.logprobs.token_logprobs.*", "choices.*.logprobs.top_logprobs.*"),
    "text_completion.chunk": (
        "choices.*.finish_reason",
        "choices.*.logprobs.token_logprobs.*",
        "choices.*.logprobs.top_logprobs.*",
    ),
    "embeddings.base64": ("data.*.embedding",),
}
"""Where OpenAI itself sends more than its schema tells: null before the end and for a first token; base64."""


UNLISTED = frozenset({"store", "response.store"})
"""What OpenAI's own responses have, and the schema of a response has not."""


def examine(kind: str, answer: dict[str, Any]) -> tuple[set[str], set[str]]:
    """Return what is wrong with an answer of that kind, and the fields that it has beyond the schema.

    Args:
        kind: one of :data:`TYPES`, or ``response.event``.
        answer: the parsed JSON.
    """
    model = _event_types().get(answer.get("type", "")) if kind == "response.event" else TYPES[kind]
    if model is None:
        return {f"unknown event {str(answer.get('type'))[:60]!r}"}, set()
    absent = {f"{path} is missing" for path in REQUIRED.get(kind, ()) if not _has(answer, path.split("."))}
    try:
        read = model.model_validate(answer, strict=True)
    except ValidationError as error:
        wrong = {(_path(found["loc"]), found["msg"]) for found in error.errors(include_input=False, include_url=False)}
        forgiven = KNOWN_BETTER.get(kind, ())
        return absent | {f"{path}: {message}" for path, message in wrong if path not in forgiven}, set()
    extras = set(_extras(read, ""))
    return absent, extras - UNLISTED if kind.startswith("response") else extras


@cache
def _event_types() -> dict[str, type[BaseModel]]:
    union = get_args(ResponseStreamEvent)[0]
    return {get_args(one.model_fields["type"].annotation)[0]: one for one in get_args(union)}


def _path(location: tuple[str | int, ...]) -> str:
    return ".".join("*" if isinstance(part, int) else part for part in location)


def _has(value: Any, path: list[str]) -> bool:
    """Say whether every place that a path with stars leads to is there."""
    if not path:
        return True
    first, *rest = path
    if first == "*":
        return isinstance(value, list) and all(_has(one, rest) for one in value)
    return isinstance(value, dict) and first in value and _has(value[first], rest)


def _extras(value: Any, path: str) -> Iterator[str]:
    """Yield the paths of fields that the types do not know."""
    if isinstance(value, BaseModel):
        yield from (f"{path}{name}" for name in value.model_extra or {})
        for name in type(value).model_fields:
            yield from _extras(getattr(value, name), f"{path}{name}.")
    elif isinstance(value, list):
        for one in value:
            yield from _extras(one, f"{path}*.")
