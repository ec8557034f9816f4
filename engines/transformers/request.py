"""What may be asked: the bodies of the API. What cannot be honoured is refused by name, never ignored."""

from typing import Annotated, Any, Literal, TypeVar

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, model_validator
from pydantic_core import ErrorDetails, PydanticCustomError

from engines.transformers.sampling import SamplingParams

UNSUPPORTED = "unsupported_parameter"

Parsed = TypeVar("Parsed", bound="Body")


class RequestError(Exception):
    """A request that cannot be answered, and the answer that says so."""

    def __init__(self, message: str, *, code: str | None, param: str | None = None, status: int = 400) -> None:
        super().__init__(message)
        self.message = message
        self.code = code
        self.param = param
        self.status = status


def _only(*harmless: Any) -> AfterValidator:
    """Accept null and values that ask for nothing; any other is a wish that this engine cannot fulfil."""

    def check(value: Any) -> Any:
        if value is not None and value not in harmless:
            raise PydanticCustomError(UNSUPPORTED, "This model does not support it")
        return value

    return AfterValidator(check)


def _text(content: Any) -> Any:
    """Return a content's text, its parts one a line.

    Raises:
        PydanticCustomError: for parts other than text.
    """
    if not isinstance(content, list):
        return content
    for part in content:
        if not isinstance(part, dict) or not isinstance(part.get("text", ""), str):
            raise PydanticCustomError("invalid_part", "Each part should be an object with a type and a text")
        if part.get("type") != "text":
            raise PydanticCustomError(UNSUPPORTED, "This model takes text only")
        if "text" not in part:
            raise PydanticCustomError("missing", "A text part needs its text")
    return "\n".join(part["text"] for part in content)


def _as_list(stop: Any) -> Any:
    return [stop] if isinstance(stop, str) else stop


Text = Annotated[str, BeforeValidator(_text)]
Empty = Annotated[Any, _only([])]
Refused = Annotated[Any, _only()]


class Strict(BaseModel):
    """A body with no room for unknown names."""

    model_config = ConfigDict(extra="forbid")


class Message(Strict):
    """One message of a conversation. An assistant's own message can be sent back as it was received."""

    role: Literal["system", "developer", "user", "assistant"]
    content: Text
    name: str | None = None
    refusal: Refused = None
    annotations: Empty = None
    audio: Refused = None
    function_call: Refused = None
    tool_calls: Empty = None

    def for_template(self) -> dict[str, str]:
        """Return the message as chat templates know it."""
        role = "system" if self.role == "developer" else self.role
        named = {"name": self.name} if self.name else {}
        return {"role": role, "content": self.content, **named}


class StreamOptions(Strict):
    """What a stream has besides its chunks."""

    include_usage: bool = False
    include_obfuscation: Annotated[Any, _only(False)] = None


class Body(Strict):
    """What both endpoints take."""

    model: str | None = None
    n: int | None = Field(default=1, ge=1, le=128)
    stream: bool | None = False
    stream_options: StreamOptions | None = None
    max_tokens: int | None = None
    stop: (
        Annotated[list[Annotated[str, Field(min_length=1)]], Field(max_length=4), BeforeValidator(_as_list)] | None
    ) = None
    seed: int | None = Field(default=None, ge=-(2**63), lt=2**63)
    temperature: float | None = Field(default=1, ge=0, le=2)
    top_p: float | None = Field(default=1, gt=0, le=1)
    top_k: int | None = Field(default=0, ge=-1)
    min_p: float | None = Field(default=0, ge=0, le=1)
    presence_penalty: float | None = Field(default=0, ge=-2, le=2)
    frequency_penalty: float | None = Field(default=0, ge=-2, le=2)
    repetition_penalty: float | None = Field(default=1, gt=0)
    logit_bias: dict[int, Annotated[float, Field(ge=-100, le=100)]] | None = None
    min_tokens: int | None = Field(default=0, ge=0)
    ignore_eos: bool | None = False
    user: str | None = None

    @model_validator(mode="after")
    def _options_need_a_stream(self) -> "Body":
        if self.stream_options is not None and not self.stream:
            raise RequestError(
                "The 'stream_options' parameter is only allowed when 'stream' is enabled.",
                code="invalid_value",
                param="stream_options",
            )
        return self

    def sampling(self, logprobs: int | None) -> SamplingParams:
        """Return how tokens are to be drawn; null means the default.

        Args:
            logprobs: how many alternatives are told with each token, if any are.
        """
        return SamplingParams(
            temperature=1 if self.temperature is None else self.temperature,
            top_p=1 if self.top_p is None else self.top_p,
            top_k=max(self.top_k or 0, 0),
            min_p=self.min_p or 0,
            presence_penalty=self.presence_penalty or 0,
            frequency_penalty=self.frequency_penalty or 0,
            repetition_penalty=self.repetition_penalty or 1,
            logit_bias=tuple((self.logit_bias or {}).items()),
            min_tokens=self.min_tokens or 0,
            logprobs=logprobs,
        )


class ChatBody(Body):
    """The body of ``POST /v1/chat/completions``."""

    messages: list[Message] = Field(min_length=1)
    max_tokens: int | None = Field(default=None, ge=1)
    max_completion_tokens: int | None = Field(default=None, ge=1)
    logprobs: bool | None = False
    top_logprobs: int | None = Field(default=None, ge=0, le=20)
    store: Annotated[Any, _only(False)] = None
    metadata: dict[str, str] | None = None
    safety_identifier: str | None = None
    prompt_cache_key: str | None = None
    service_tier: Annotated[Any, _only("auto", "default")] = None
    response_format: Annotated[Any, _only({"type": "text"})] = None
    modalities: Annotated[Any, _only(["text"])] = None
    tools: Empty = None
    tool_choice: Annotated[Any, _only("none", "auto")] = None
    parallel_tool_calls: Annotated[Any, _only(True, False)] = None
    functions: Empty = None
    function_call: Annotated[Any, _only("none", "auto")] = None

    @model_validator(mode="after")
    def _alternatives_need_logprobs(self) -> "ChatBody":
        if self.top_logprobs is not None and not self.logprobs:
            message = "The 'top_logprobs' parameter is only allowed when 'logprobs' is enabled."
            raise RequestError(message, code="invalid_value", param="top_logprobs")
        return self


class CompletionBody(Body):
    """The body of ``POST /v1/completions``."""

    prompt: str | list[str] | list[int] | list[list[int]]
    max_tokens: int | None = Field(default=16, ge=0)
    echo: bool | None = False
    logprobs: int | None = Field(default=None, ge=0, le=20)
    suffix: Annotated[Any, _only("")] = None
    best_of: Annotated[Any, _only(1)] = None

    def prompts(self) -> list[str | list[int]]:
        """Return one or more prompts, each a text or token ids."""
        prompt: Any = self.prompt
        one = isinstance(prompt, str) or (prompt and isinstance(prompt[0], int))
        return [prompt] if one else prompt


def parse(body: type[Parsed], raw: bytes) -> Parsed:
    """Return the request in ``raw``.

    Raises:
        RequestError: naming the first field that is wrong, without repeating what it held.
    """
    try:
        return body.model_validate_json(raw)
    except ValidationError as error:
        raise _explain(error.errors(include_input=False, include_url=False, include_context=False)[0]) from None


def _explain(error: ErrorDetails) -> RequestError:
    # Alternatives of a union, and dictionaries, lengthen the path by what is no field.
    path = error["loc"][:1] if error["loc"][:1] in {("prompt",), ("logit_bias",)} else error["loc"]
    param = ".".join(map(str, path)) or None
    match error["type"]:
        case "json_invalid":
            return RequestError("The body is not valid JSON.", code="invalid_json")
        case "missing":
            return RequestError(
                f"Missing required parameter: '{param}'.", code="missing_required_parameter", param=param
            )
        case "extra_forbidden":
            return RequestError(f"Unsupported parameter: '{param}'.", code=UNSUPPORTED, param=param)
        case "unsupported_parameter":
            return RequestError(f"Unsupported parameter: '{param}'. {error['msg']}.", code=UNSUPPORTED, param=param)
        case _:
            return RequestError(f"Invalid value for '{param}': {error['msg']}.", code="invalid_value", param=param)
