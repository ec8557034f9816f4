"""What an echo needs of a request."""

from typing import Any, Literal, TypeVar

from pydantic import BaseModel, Field, ValidationError

MOST_TOKENS = 2**20
"""What may be asked of an echo for a choice."""


class StreamOptions(BaseModel):
    """``stream_options`` of a request."""

    include_usage: bool = False


class Completing(BaseModel):
    """What asks for tokens."""

    max_tokens: int | None = Field(default=None, ge=0, le=MOST_TOKENS)
    n: int | None = Field(default=1, ge=1)
    stream: bool | None = False
    stream_options: StreamOptions | None = None
    stop: str | list[str] | None = None

    @property
    def stops(self) -> list[str]:
        """The texts before which an answer ends."""
        return [stop for stop in ([self.stop] if isinstance(self.stop, str) else self.stop or []) if stop]

    @property
    def include_usage(self) -> bool:
        """Whether the stream ends with a usage chunk."""
        return self.stream_options is not None and self.stream_options.include_usage


class PlainText(BaseModel):
    """The only ``response_format`` of an echo."""

    type: Literal["text"]


class ChatRequest(Completing):
    """The fields of a chat request; an echo calls no tools, and knows no form and no probability."""

    messages: list[dict[str, Any]] = Field(min_length=1)
    max_completion_tokens: int | None = Field(default=None, ge=1, le=MOST_TOKENS)
    tool_choice: Literal["none", "auto"] | None = None
    response_format: PlainText | None = None
    logprobs: Literal[False] | None = None


class CompletionRequest(Completing):
    """The fields of a completion request."""

    prompt: str | list[str] | list[int] | list[list[int]]
    echo: Literal[False] | None = None
    logprobs: None = None


class EmbeddingRequest(BaseModel):
    """The fields of an embedding request."""

    input: str | list[str] | list[int] | list[list[int]]
    encoding_format: Literal["float", "base64"] | None = None
    dimensions: int | None = Field(default=None, ge=1, le=4096)


class RequestError(Exception):
    """A field is not what it should be.

    Attributes:
        param: the field, as a dotted path.
    """

    def __init__(self, param: str, problem: str) -> None:
        super().__init__(f"Invalid value for '{param}': {problem}.")
        self.param = param


Body = TypeVar("Body", bound=BaseModel)


def parse(body: type[Body], raw: bytes) -> Body:
    """Return the request in ``raw``.

    Raises:
        RequestError: naming the first field that is wrong.
    """
    try:
        return body.model_validate_json(raw)
    except ValidationError as error:
        first = error.errors(include_input=False)[0]
        raise RequestError(".".join(map(str, first["loc"])), first["msg"]) from None


def words_of(given: str | list[Any]) -> list[list[str]]:
    """Return the words of each text in a prompt or an input; a token id is a word."""
    if isinstance(given, str):
        return [given.split()]
    if given and isinstance(given[0], int):
        return [list(map(str, given))]
    return [text.split() if isinstance(text, str) else list(map(str, text)) for text in given]


def words_of_message(message: dict[str, Any]) -> list[str]:
    """Return the words of a chat message."""
    content = message.get("content")
    if isinstance(content, list):
        content = " ".join(part.get("text", "") for part in content if isinstance(part, dict))
    return content.split() if isinstance(content, str) else []
