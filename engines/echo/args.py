"""The settings of an echo model."""

from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field


class EchoArgs(BaseModel):
    """The ``engine_args`` of an echo model.

    Attributes:
        tokens_per_s: the pace of one stream; ``None`` is as fast as it can.
        first_token_s: what a prefill would take.
        default_max_tokens: tokens of an answer when the request names no number.
        journal: a file that gets a line for every token, with the request's id; it survives the engine, so that fault
            tests can compare a ledger with what was really produced.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    tokens_per_s: float | None = Field(default=None, gt=0)
    first_token_s: float = Field(default=0, ge=0)
    default_max_tokens: int = Field(default=64, ge=1)
    journal: Path | None = None
