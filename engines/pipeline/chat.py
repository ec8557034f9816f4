"""What goes into a pipeline, and what comes out of it, in the API's own words."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

import orjson
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from engines.pipeline.errors import ApiError

Message = Mapping[str, Any]

_ALLOWED: dict[str, tuple[Any, ...]] = {
    "n": (None, 1),
    "logprobs": (None, False),
    "tools": (None, []),
    "functions": (None, []),
    "audio": (None,),
    "modalities": (None, ["text"]),
}
"""What a pipeline cannot honour, and the values that ask for nothing: it answers once, and with text."""


@dataclass(frozen=True)
class Citation:
    """A part of a delta's text that names a source.

    Attributes:
        start, end: characters of the delta's own text, the end exclusive.
        title, url: of the source.
    """

    start: int
    end: int
    title: str
    url: str


@dataclass(frozen=True)
class Delta:
    """The next part of an answer.

    Attributes:
        text: what the client reads.
        finish_reason: why the model that wrote it stopped, if it has: ``stop``, ``length`` or ``content_filter``.
        citations: sources that the text names. They become ``annotations`` of an answer that is read whole; chunks of
            a stream have no place for them.
    """

    text: str = ""
    finish_reason: str | None = None
    citations: Sequence[Citation] = ()


class _StreamOptions(BaseModel):
    include_usage: bool | None = None


class _Body(BaseModel):
    model_config = ConfigDict(extra="allow")

    messages: list[dict[str, Any]] = Field(min_length=1)
    stream: bool | None = None
    stream_options: _StreamOptions | None = None


@dataclass(frozen=True)
class ChatRequest:
    """What the client asks.

    Attributes:
        body: the request as it came, with ``temperature``, ``max_tokens`` and whatever else the client has set.
        messages: the conversation.
        stream: whether the answer leaves part by part; a pipeline answers alike.
        include_usage: whether a stream ends with the usage.
    """

    body: Mapping[str, Any]
    messages: Sequence[Message]
    stream: bool
    include_usage: bool

    @classmethod
    def parse(cls, raw: bytes) -> Self:
        """Return the request in a body.

        Raises:
            ApiError: 400, naming the field as a dotted path.
        """
        try:
            body = _Body.model_validate_json(raw)
        except ValidationError as error:
            first = error.errors(include_input=False, include_url=False)[0]
            raise ApiError.invalid(".".join(map(str, first["loc"])) or None, first["msg"]) from None
        fields: dict[str, Any] = orjson.loads(raw)
        for name, allowed in _ALLOWED.items():
            if fields.get(name) not in allowed:
                raise ApiError.unsupported(name)
        include_usage = bool(body.stream_options and body.stream_options.include_usage)
        return cls(fields, body.messages, bool(body.stream), include_usage)

    @property
    def question(self) -> str:
        """The text of the last message of the user; empty when there is none."""
        return next((text_of(message) for message in reversed(self.messages) if message.get("role") == "user"), "")

    @property
    def wants_json(self) -> bool:
        """Whether the answer is for a parser, to which words behind it would be a mistake."""
        response_format = self.body.get("response_format")
        return isinstance(response_format, dict) and response_format.get("type") != "text"


def text_of(message: Message) -> str:
    """Return a message's text: its content, or those parts of it that are text."""
    content = message.get("content")
    if isinstance(content, str):
        return content
    return "\n".join(_texts(content)) if isinstance(content, list) else ""


def _texts(parts: Iterable[Any]) -> Iterable[str]:
    return (part["text"] for part in parts if isinstance(part, dict) and isinstance(part.get("text"), str))
