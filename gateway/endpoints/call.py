"""A request to a model, parsed: what is asked, of which model, in what form."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, Protocol, Self

import orjson

from auth.usage import Usage, roughly
from gateway.answers.relay import Stream


@dataclass(frozen=True)
class Prompt:
    """What of a request becomes the model's prompt, for the estimate of its length.

    Attributes:
        texts: everything that is tokenized.
        tools: text that is tokenized where the model's template shows tools.
        messages: the conversation, for what the template adds to it.
        tokens: prompt tokens that came as token ids.
        is_text: whether it is nothing but text and token ids; how many tokens a picture is, its bytes do not say.
    """

    texts: Sequence[str] = ()
    tools: str = ""
    messages: Sequence[Mapping[str, Any]] = ()
    tokens: int = 0
    is_text: bool = True


@dataclass(frozen=True)
class Whole:
    """An answer that came whole, read: what the client gets, and what the ledger notes.

    Attributes:
        body: as the client gets it.
        usage: the engine's count; ``None`` when it has none that can be believed.
        finish_reason: of the last choice.
        said: its texts, which are looked at only for want of the engine's count.
    """

    body: dict[str, Any]
    usage: Usage | None
    finish_reason: str | None = None
    said: Iterable[str] = ()

    @cached_property
    def tokens(self) -> int:
        """About how many completion tokens it has."""
        return roughly(self.said)


class Form(Protocol):
    """How an endpoint's answers look: what is read from them on their way, and what is mended."""

    @property
    def salted(self) -> bool:
        """Whether engines with a prefix cache take ``cache_salt`` here."""

    def whole(self, answer: dict[str, Any]) -> Whole:
        """Read an answer that came whole."""

    def stream(self, call: "Call") -> Stream:
        """Return the reader of a streamed answer; only asked for calls that stream."""


@dataclass(frozen=True)
class Call:
    """A request within bounds.

    Attributes:
        path: where the engine is asked; also the name of the endpoint, which a model serves or does not.
        form: of the answer.
        model: the name that the client asked for, if it did.
        payload: the body for the engine, but for the model's own name.
        prompt: what becomes the model's prompt.
        prompt_field: the field that it is in.
        stream: whether the answer is a stream of events.
        include_usage: whether the client wants a stream's usage chunk.
        max_tokens: completion tokens of one choice at most; ``None`` when the client does not bound them.
        max_tokens_field: where an engine is told of that bound, if the client has not set it; ``None`` where it cannot
            be told.
        choices: how many completions are asked for.
        user, metadata: what the client says of itself; stored, never trusted.
        dropped: names of fields that came and that the endpoint does not have, fit for a header.
    """

    path: str
    form: Form
    model: str | None
    payload: dict[str, Any]
    prompt: Prompt = field(default_factory=Prompt)
    prompt_field: str = "messages"
    stream: bool = False
    include_usage: bool = False
    max_tokens: int | None = None
    max_tokens_field: str | None = None
    choices: int = 1
    user: str | None = None
    metadata: Mapping[str, str] | None = None
    dropped: Sequence[str] = ()

    def bounded(self, max_tokens: int) -> Self:
        """Return the call with a bound on each choice, which the engine is told, in place of none."""
        if self.max_tokens is not None or self.max_tokens_field is None:
            return self
        return replace(self, max_tokens=max_tokens, payload={**self.payload, self.max_tokens_field: max_tokens})

    def body_for(self, model: str, cache_salt: str | None = None) -> tuple[str, bytes]:
        """Return the content type and the body for the engine of ``model``.

        Args:
            model: the model's own name, where the client may have asked for an alias.
            cache_salt: for engines that have a prefix cache, in place of the client's own.
        """
        payload = {**self.payload, "model": model}
        if cache_salt is not None:
            payload["cache_salt"] = cache_salt
        return "application/json", orjson.dumps(payload)


_SILENT = frozenset(
    {
        *("type", "role", "status", "id", "call_id", "tool_call_id", "tool_use_id", "uuid"),
        *("cache_control", "detail", "encrypted_content", "signature"),
        *("audio", "audio_embeds", "audio_url", "data", "file", "file_data", "file_id", "file_url", "image_embeds"),
        *("image_pil", "image_url", "input_audio", "source", "video_embeds", "video_url"),
    }
)
"""Fields of a part that are no text of the prompt: what links it, and media, whose tokens only the engine can count."""


def is_text(content: Any) -> bool:
    """Say whether a message's or an input's content is text alone: a string, or parts that each have a ``text``."""
    parts = content if isinstance(content, list) else ()
    return all(isinstance(part, dict) and isinstance(part.get("text"), str) for part in parts)


def texts_of(content: Any) -> Iterator[str]:
    """Yield the texts of a message's or an input's content: a string, or parts that hold some."""
    if isinstance(content, str):
        yield content
    elif isinstance(content, list):
        for part in content:
            yield from said_by(part) if isinstance(part, dict) else texts_of(part)


def said_by(part: Mapping[str, Any]) -> Iterator[str]:
    """Yield all texts of a part or an item: an engine may put any of them into the prompt."""
    for name, value in part.items():
        if name in _SILENT or not value:
            continue
        if isinstance(value, str | list):
            yield from texts_of(value)
        else:
            yield orjson.dumps(value).decode()
