"""What may be asked: the bodies of the API. What cannot be honoured is refused by name, never ignored."""

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, model_validator

from engines.transformers.body import Empty, RequestError, Strict, only
from engines.transformers.messages import Message
from engines.transformers.response_format import ResponseFormat
from engines.transformers.sampling import SamplingParams
from engines.transformers.tools import Calling, NamedTool, Tool


def _as_list(stop: Any) -> Any:
    return [stop] if isinstance(stop, str) else stop


class StreamOptions(Strict):
    """What a stream has besides its chunks."""

    include_usage: bool = False
    include_obfuscation: Annotated[Any, only(False)] = None


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
    store: Annotated[Any, only(False)] = None
    metadata: dict[str, str] | None = None
    safety_identifier: str | None = None
    prompt_cache_key: str | None = None
    service_tier: Annotated[Any, only("auto", "default")] = None
    response_format: ResponseFormat | None = None
    modalities: Annotated[Any, only(["text"])] = None
    tools: Annotated[list[Tool], Field(max_length=128)] | None = None
    tool_choice: Literal["none", "auto", "required"] | NamedTool | None = None
    parallel_tool_calls: bool | None = True
    functions: Empty = None
    function_call: Annotated[Any, only("none", "auto")] = None

    @model_validator(mode="after")
    def _alternatives_need_logprobs(self) -> "ChatBody":
        if self.top_logprobs is not None and not self.logprobs:
            message = "The 'top_logprobs' parameter is only allowed when 'logprobs' is enabled."
            raise RequestError(message, code="invalid_value", param="top_logprobs")
        return self

    @model_validator(mode="after")
    def _a_choice_needs_tools(self) -> "ChatBody":
        named = self.tool_choice.function.name if isinstance(self.tool_choice, NamedTool) else None
        if named and named not in {tool.function.name for tool in self.tools or ()}:
            message = "The 'tool_choice' names a function that is not among the 'tools'."
            raise RequestError(message, code="invalid_value", param="tool_choice")
        if self.tool_choice == "required" and not self.tools:
            message = "The 'tool_choice' is only allowed with 'tools'."
            raise RequestError(message, code="invalid_value", param="tool_choice")
        return self

    def calling(self) -> Calling | None:
        """Return how the model may call; ``None`` when it may not."""
        if not self.tools or self.tool_choice == "none":
            return None
        functions = [tool.function for tool in self.tools]
        if isinstance(self.tool_choice, NamedTool):
            name = self.tool_choice.function.name
            functions = [function for function in functions if function.name == name]
            return Calling(functions, required=True, named=True, parallel=False)
        return Calling(
            functions,
            required=self.tool_choice == "required",
            named=False,
            parallel=self.parallel_tool_calls is not False,
        )


class CompletionBody(Body):
    """The body of ``POST /v1/completions``."""

    prompt: str | list[str] | list[int] | list[list[int]]
    max_tokens: int | None = Field(default=16, ge=0)
    echo: bool | None = False
    logprobs: int | None = Field(default=None, ge=0, le=20)
    suffix: Annotated[Any, only("")] = None
    best_of: Annotated[Any, only(1)] = None

    def prompts(self) -> list[str | list[int]]:
        """Return one or more prompts, each a text or token ids."""
        prompt: Any = self.prompt
        one = isinstance(prompt, str) or (prompt and isinstance(prompt[0], int))
        return [prompt] if one else prompt
