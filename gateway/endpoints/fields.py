"""What the bodies of several endpoints have in common."""

from collections.abc import Iterator, Mapping
from typing import Annotated, Any

import orjson
from pydantic import Field

from gateway.config.settings import Bounds
from gateway.endpoints.closed import EXTENSION, SIZED, Closed, Engines, Flag, Limited, Object, Strict
from gateway.http import errors

Metadata = Annotated[
    dict[Annotated[str, Field(max_length=64)], Annotated[str, Field(max_length=512)]], Field(max_length=16)
]
Model = Annotated[str, Field(min_length=1, max_length=256)]
Stop = str | Annotated[list[str], Field(max_length=4)] | None
LogitBias = Annotated[dict[str, Annotated[float, Field(ge=-100, le=100)]], Field(max_length=1024)]
Salt = Annotated[str, Field(min_length=1, max_length=512)]
User = Annotated[str, Field(max_length=512)]
Tools = Annotated[list[dict[str, Any]] | None, SIZED]

TokenIds = Annotated[list[Annotated[int, Field(ge=0, lt=2**31)]], Field(max_length=1024)]


class StreamOptions(Strict):
    """What a stream carries besides its deltas."""

    include_usage: bool | None = None


class Sampling(Closed):
    """How tokens are drawn: OpenAI's fields, and those of vLLM's own (Transformers knows some) that clients may set."""

    temperature: float | None = Field(default=None, ge=0, le=2)
    top_p: float | None = Field(default=None, gt=0, le=1)
    stop: Stop = None
    seed: int | None = Field(default=None, ge=-(2**63), lt=2**63)
    presence_penalty: float | None = Field(default=None, ge=-2, le=2)
    frequency_penalty: float | None = Field(default=None, ge=-2, le=2)
    logit_bias: LogitBias | None = None
    user: User | None = None
    cache_salt: Salt | None = None
    top_k: Annotated[int | None, Field(ge=-1, le=2**31), EXTENSION] = None
    min_p: Annotated[float | None, Field(ge=0, le=1), EXTENSION] = None
    repetition_penalty: Annotated[float | None, Field(gt=0, le=100), EXTENSION] = None
    min_tokens: Limited = None
    ignore_eos: Flag = None
    stop_token_ids: Annotated[TokenIds | None, EXTENSION] = None
    allowed_token_ids: Annotated[TokenIds | None, EXTENSION] = None
    bad_words: Annotated[list[str] | None, Field(max_length=1024), EXTENSION] = None
    include_stop_str_in_output: Flag = None
    skip_special_tokens: Flag = None
    spaces_between_special_tokens: Flag = None
    structured_outputs: Object = None
    include_reasoning: Flag = None
    thinking_token_budget: Limited = None
    chat_template_kwargs: Object = None


class Sampled(Sampling):
    """A body that asks for completions."""

    model: Model | None = None
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    max_tokens: int | None = Field(default=None, ge=0, le=2**31)
    n: int | None = Field(default=None, ge=1)
    response_format: Annotated[dict[str, Any] | None, SIZED] = None
    prompt_logprobs: Annotated[int | None, Field(ge=0, le=20), EXTENSION] = None
    logprob_token_ids: Annotated[TokenIds | None, EXTENSION] = None
    truncate_prompt_tokens: Annotated[int | None, Field(ge=-1, le=2**31), EXTENSION] = None
    truncation_side: Engines = None
    add_special_tokens: Flag = None
    return_token_ids: Flag = None
    return_tokens_as_token_ids: Flag = None
    repetition_detection: Object = None

    @property
    def include_usage(self) -> bool:
        """Whether the client wants a stream's usage chunk."""
        return bool(self.stream_options and self.stream_options.include_usage)


def check_sampled(body: Sampled, bounds: Bounds) -> None:
    """Hold a request for completions against the configured bounds; raises a 400."""
    if (body.n or 1) > bounds.max_choices:
        raise errors.invalid_value("n", f"'n' is more than {bounds.max_choices}.")
    if body.stream_options is not None and not body.stream:
        raise errors.invalid_value("stream_options", "'stream_options' is only allowed when 'stream' is true.")
    check_stop(body, bounds)


def check_stop(body: Sampling, bounds: Bounds) -> None:
    """Hold stop strings against their bound; raises a 400."""
    stops = [body.stop] if isinstance(body.stop, str) else body.stop or []
    if any(len(stop.encode()) > bounds.max_stop_bytes for stop in stops):
        raise errors.invalid_value("stop", f"A stop sequence is longer than {bounds.max_stop_bytes} bytes.")


def check_tools(tools: list[dict[str, Any]] | None, bounds: Bounds) -> None:
    """Hold the number of tools against its bound; raises a 400."""
    if tools and len(tools) > bounds.max_tools:
        raise errors.invalid_value("tools", f"'tools' has more than {bounds.max_tools} entries.")


def with_usage(sent: dict[str, Any]) -> dict[str, Any]:
    """Return a body whose stream tells its usage, once and at its end, whether or not the client asked.

    The ledger needs it; of a client's own ``stream_options`` an engine sees nothing else.
    """
    others = {name: value for name, value in sent.items() if name != "stream_options"}
    return {**others, "stream_options": {"include_usage": True}} if sent.get("stream") else others


def templated(sent: Mapping[str, Any]) -> Iterator[str]:
    """Yield what a chat's template may put into the prompt beside the messages and tools."""
    for name in ("documents", "chat_template_kwargs"):
        if value := sent.get(name):
            yield orjson.dumps(value).decode()
