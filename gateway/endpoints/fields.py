"""What the bodies of several endpoints have in common."""

from typing import Annotated, Any, TypeVar

import orjson
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from gateway.config.settings import Bounds
from gateway.http import errors

Metadata = Annotated[
    dict[Annotated[str, Field(max_length=64)], Annotated[str, Field(max_length=512)]], Field(max_length=16)
]
Model = Annotated[str, Field(min_length=1, max_length=256)]
Stop = str | Annotated[list[str], Field(max_length=4)] | None
LogitBias = Annotated[dict[str, Annotated[float, Field(ge=-100, le=100)]], Field(max_length=1024)]


class Strict(BaseModel):
    """Fields that Raygate checks itself; others go to the engine as they came."""

    model_config = ConfigDict(strict=True, extra="allow", frozen=True)


class StreamOptions(Strict):
    """What a stream carries besides its deltas."""

    include_usage: bool | None = None


class Sampled(Strict):
    """A body that asks for completions."""

    model: Model | None = None
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    max_tokens: int | None = Field(default=None, ge=0, le=2**31)
    temperature: float | None = Field(default=None, ge=0, le=2)
    top_p: float | None = Field(default=None, gt=0, le=1)
    n: int | None = Field(default=None, ge=1)
    stop: Stop = None
    seed: int | None = Field(default=None, ge=-(2**63), lt=2**63)
    presence_penalty: float | None = Field(default=None, ge=-2, le=2)
    frequency_penalty: float | None = Field(default=None, ge=-2, le=2)
    logit_bias: LogitBias | None = None
    user: str | None = Field(default=None, max_length=512)
    cache_salt: str | None = Field(default=None, min_length=1, max_length=512)

    @property
    def include_usage(self) -> bool:
        """Whether the client wants a stream's usage chunk."""
        return bool(self.stream_options and self.stream_options.include_usage)


OPERATORS_ONLY = frozenset(
    {
        "chat_template",
        "ec_transfer_params",
        "kv_transfer_params",
        "media_io_kwargs",
        "mm_processor_kwargs",
        "priority",
        "request_id",
    }
)
"""Fields of engines' own that would let a client jump the queue, name another's request, or run a program."""

Body = TypeVar("Body", bound=BaseModel)


def checked(body: type[Body], payload: dict[str, Any]) -> Body:
    """Return the checked fields of a request.

    Raises:
        ApiError: 400, naming the first field that is wrong as a dotted path.
    """
    for name in payload.keys() & OPERATORS_ONLY:
        if payload[name] is not None:
            raise errors.unsupported_parameter(name, "It is not for clients to set.")
    try:
        return body.model_validate(payload)
    except ValidationError as error:
        raise errors.from_validation(error.errors(include_input=False, include_url=False)) from None


def check_sampled(body: Sampled, bounds: Bounds) -> None:
    """Hold a request for completions against the configured bounds; raises a 400."""
    if (body.n or 1) > bounds.max_choices:
        raise errors.invalid_value("n", f"'n' is more than {bounds.max_choices}.")
    if body.stream_options is not None and not body.stream:
        raise errors.invalid_value("stream_options", "'stream_options' is only allowed when 'stream' is true.")
    stops = [body.stop] if isinstance(body.stop, str) else body.stop or []
    if any(len(stop.encode()) > bounds.max_stop_bytes for stop in stops):
        raise errors.invalid_value("stop", f"A stop sequence is longer than {bounds.max_stop_bytes} bytes.")


def check_size(name: str, value: Any, limit: int) -> None:
    """Refuse a part of the body, a schema say, that is larger than ``limit`` bytes; raises a 400."""
    if value and len(orjson.dumps(value)) > limit:
        raise errors.invalid_value(name, f"'{name}' is larger than {limit} bytes.")


def with_usage(payload: dict[str, Any]) -> dict[str, Any]:
    """Return a body whose stream tells its usage whether or not the client asked: the ledger needs it."""
    if not payload.get("stream"):
        return payload
    return {**payload, "stream_options": {**(payload.get("stream_options") or {}), "include_usage": True}}
